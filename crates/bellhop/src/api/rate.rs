//! How many requests a key may make, and an address without one.

use http::{HeaderName, HeaderValue};

use crate::{bucket::Taken, domain::api_key::Scope};

/// Requests a second that one key may make, by its scope, and one address without a key; no limit where there is none. Twice
/// as many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Of a key of scope `operator`.
    pub operator: Option<u32>,
    /// Of a key of scope `application`.
    pub application: Option<u32>,
    /// Of a key of scope `introspect`.
    pub introspect: Option<u32>,
    /// Of one address, to what needs no key.
    pub keyless: Option<u32>,
}

impl Default for Rates {
    /// Only applications' keys are limited, which are in other people's hands, and strangers.
    fn default() -> Self {
        Self {
            operator: None,
            application: Some(500),
            introspect: None,
            keyless: Some(50),
        }
    }
}

impl Rates {
    /// The rate of a scope.
    pub fn of(self, scope: Scope) -> Option<u32> {
        match scope {
            Scope::Operator => self.operator,
            Scope::Application(_) => self.application,
            Scope::Introspect => self.introspect,
        }
    }
}

/// How a key stands that is limited: what is told with each answer to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Its rate.
    pub per_second: u32,
    /// What came of this request.
    pub taken: Taken,
}

impl Standing {
    /// `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10): the bucket holds the requests of two
    /// seconds.
    pub fn headers(self) -> [(HeaderName, HeaderValue); 2] {
        let quota = u64::from(self.per_second) * 2;
        let value = |text: String| HeaderValue::try_from(text).expect("numbers are visible");
        let policy = format!("\"key\";q={quota};w=2");
        let Taken {
            left, full_in_s, ..
        } = self.taken;
        let now = format!("\"key\";r={left};t={full_in_s}");
        [
            (HeaderName::from_static("ratelimit-policy"), value(policy)),
            (HeaderName::from_static("ratelimit"), value(now)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bucket::{Bucket, Pace};

    #[test]
    fn what_is_told_is_as_the_draft_has_it() {
        let taken = Bucket::default().take(0, Pace::per_second(500));
        let standing = Standing {
            per_second: 500,
            taken,
        };
        let told = standing
            .headers()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        assert_eq!(
            told,
            [
                "ratelimit-policy: \"key\";q=1000;w=2",
                "ratelimit: \"key\";r=999;t=1"
            ]
        );
    }
}
