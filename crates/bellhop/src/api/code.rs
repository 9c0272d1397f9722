//! The closed set of problems, each with its status and its page.

use http::StatusCode;

/// Makes the enum and its texts from one table, so that a code cannot exist without its page.
macro_rules! codes {
    ($($variant:ident, $code:literal, $status:ident, $title:literal, $page:literal;)+) => {
        /// What kind of problem a request met (RFC 9457): stable, for programs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $title] $variant,)+
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// As in `code`, and at the end of `type`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// The HTTP status that goes with it.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)+ }
            }

            /// A short text for people, the same each time.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ }
            }

            /// What it means and what to do about it: the page behind `type`.
            pub const fn page(self) -> &'static str {
                match self { $(Self::$variant => $page,)+ }
            }
        }
    };
}

codes! {
    MalformedBody, "malformed_body", BAD_REQUEST,
        "The body cannot be read",
        "The body is not JSON in UTF-8 (or, for introspection, not a form). The detail names the line and the column. \
         Send it again when it is mended.";
    BadCursor, "bad_cursor", BAD_REQUEST,
        "The cursor is not one of this list",
        "A cursor is the NextCursor of an earlier page of the same list. Begin again without Cursor.";
    BadHeader, "bad_header", BAD_REQUEST,
        "A header cannot be read",
        "The detail names the header and its form.";
    Unauthorized, "unauthorized", UNAUTHORIZED,
        "No valid API key",
        "Send an API key as `Authorization: Bearer bhk_…`. The operator's first key is in the file that the server \
         names at its start; further ones are made with POST /v1/keys.";
    Forbidden, "forbidden", FORBIDDEN,
        "The key's scope does not cover this",
        "A key of scope application works on its own webhooks and deliveries and reads its own integrations; a key of \
         scope introspect only introspects. The rest needs a key of scope operator.";
    NotFound, "not_found", NOT_FOUND,
        "There is no such thing",
        "The path or the id names nothing that this key may see. Another application's things are not found either.";
    MethodNotAllowed, "method_not_allowed", METHOD_NOT_ALLOWED,
        "The path does not take this method",
        "The Allow header names the methods that it takes.";
    RequestTimeout, "request_timeout", REQUEST_TIMEOUT,
        "The body did not arrive in time",
        "Send the request again, without pauses in its body.";
    NotAllowedInState, "not_allowed_in_state", CONFLICT,
        "The present state does not allow this",
        "State names the present state, AllowedCommands what would change something now.";
    BodyErased, "body_erased", CONFLICT,
        "The body was erased",
        "The message carried an access token. Such a body is erased once every delivery of it has ended and a grace \
         period (erasure_grace_seconds) is over; the delivery and its attempts are kept, but there is nothing left to \
         send again. A new access token is made with POST /v1/integrations/{Id}/regenerate-access-token; under \
         profile 2025 the webhook is sent it, otherwise the answer shows it once.";
    ExistsAlready, "exists_already", CONFLICT,
        "It exists already",
        "Something with this id exists. Choose another id, or leave the id out and one is made.";
    IdempotencyInFlight, "idempotency_in_flight", CONFLICT,
        "The same request is being worked on",
        "Another request with this Idempotency-Key has not been answered yet. Wait a moment, then send it again: you \
         get the first one's answer.";
    PreviewOutdated, "preview_outdated", CONFLICT,
        "What would be sent is not what was previewed",
        "What fits the filter has changed since the dry run, or the dry run is more than an hour old. Counts says how \
         it is now. Make another dry run and start the replay with its Token. A filter by State or an earlier ToUtc \
         keeps new deliveries out.";
    PreconditionFailed, "precondition_failed", PRECONDITION_FAILED,
        "It was changed since you read it",
        "The If-Match header names a version that is not the present one. Read it again, then decide again.";
    BodyTooLarge, "body_too_large", PAYLOAD_TOO_LARGE,
        "The body is too large",
        "A request's body has at most 1 MiB.";
    InvalidValue, "invalid_value", UNPROCESSABLE_ENTITY,
        "A value is not acceptable",
        "Each item of errors names a place, by JSON pointer in the body or by parameter in the query, and what is \
         wrong there. Nothing was changed.";
    IdempotencyKeyReused, "idempotency_key_reused", UNPROCESSABLE_ENTITY,
        "The Idempotency-Key was used for another request",
        "A key belongs to one request: method, path and body. Choose a new key for a new request.";
    TooManyRequests, "too_many_requests", TOO_MANY_REQUESTS,
        "Too many requests with this key",
        "Wait as many seconds as Retry-After says.";
    Internal, "internal", INTERNAL_SERVER_ERROR,
        "Bellhop failed",
        "This is a fault of the server. Its log has the reason under the request's id (x-request-id).";
    Unavailable, "unavailable", SERVICE_UNAVAILABLE,
        "The database does not answer",
        "It is unknown whether the change was made. Send the request again with the same Idempotency-Key after as \
         many seconds as Retry-After says.";
}

/// What is wrong at one place of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// A member or parameter that is not known.
    Unknown,
    /// A member or parameter that must be there.
    Missing,
    /// Something else than what belongs there.
    WrongType,
    /// The right type, and not acceptable.
    Invalid,
    /// Given twice.
    Duplicate,
    /// It names something that does not exist.
    NoSuchThing,
    /// The egress guard refuses it.
    UrlRefused,
}

impl Flaw {
    /// As in `errors[].code`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Missing => "missing",
            Self::WrongType => "wrong_type",
            Self::Invalid => "invalid",
            Self::Duplicate => "duplicate",
            Self::NoSuchThing => "not_found",
            Self::UrlRefused => "url_refused",
        }
    }
}
