//! Why a URL is not one for a webhook, told so that a person can mend it. Never with the URL's query: it is a secret.

use std::net::Ipv4Addr;

use super::AddressRefused;

/// Why a URL is refused for a webhook.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlRefused {
    /// Nothing was given.
    #[error(
        "The URL is empty. Write where messages are to be sent, as in https://hooks.your-domain.com/bellhop."
    )]
    Empty,
    /// Longer than is stored.
    #[error(
        "The URL has {length} bytes; at most {} are allowed. Shorten its path or query.",
        UrlRefused::MAX_LENGTH
    )]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// A space, a line break or another invisible character.
    #[error(
        "The URL contains a space or a control character. Remove it, or write it percent-encoded (%20)."
    )]
    Whitespace,
    /// Browsers read it as a slash, others do not: a way to show one host and mean another.
    #[error("The URL contains a backslash. Write slashes, or %5C in the path or query.")]
    Backslash,
    /// No `scheme://` at its beginning.
    #[error(
        "The URL does not begin with https://. Write it in full, as in https://hooks.your-domain.com/bellhop."
    )]
    NoScheme,
    /// `https:` without the two slashes.
    #[error(
        "The URL's scheme must be followed by two slashes and a host, as in https://hooks.your-domain.com/."
    )]
    NoSlashes,
    /// Neither https nor http.
    #[error("The URL's scheme is not https. Messages are sent over https only.")]
    Scheme,
    /// http to where it is not allowed.
    #[error(
        "The URL is plain http, which anyone on the way can read. Use https; for a receiver on your own network, \
         the operator can allow that network in BELLHOP_EGRESS_ALLOW."
    )]
    PlainHttp,
    /// `user:password@`.
    #[error(
        "The URL contains a user name or password. Remove the part before the @; use a custom header instead."
    )]
    UserInfo,
    /// `#...`, which is never sent.
    #[error("The URL contains a fragment (#...), which is never sent. Remove it.")]
    Fragment,
    /// `%31` and the like in the host.
    #[error(
        "The URL's host contains percent signs. Write the host in plain letters, or the IPv6 address without a zone."
    )]
    PercentInHost,
    /// Empty, overlong or with characters that no host name has.
    #[error(
        "The URL's host is not a valid host name. Check it for doubled dots, odd characters and overlong parts."
    )]
    HostName,
    /// An IPv4 address in a form that hides it: short, decimal, octal, hexadecimal, or other digits.
    #[error("The URL's host is the IPv4 address {meant} in another notation. Write {meant}.")]
    Ipv4Notation {
        /// What it comes to.
        meant: Ipv4Addr,
    },
    /// An IPv6 literal with an IPv4 address inside.
    #[error(
        "The URL's host is an IPv6 address with an IPv4 address inside. Write the host name or the IPv4 address."
    )]
    Ipv6Form,
    /// An address that no webhook may have.
    #[error(
        "The URL's host {0}. Use a public host; for a receiver on your own network, the operator can allow that \
         network in BELLHOP_EGRESS_ALLOW."
    )]
    Address(AddressRefused),
    /// Bellhop's own address.
    #[error("The URL is Bellhop's own address. Write the receiver's.")]
    OwnAddress,
    /// The built-in receiver, written in another way than the one.
    #[error(
        "The built-in receiver is reached over plain http and without a port, as its page in the dashboard shows it."
    )]
    Inside,
    /// `localhost` or a name below it.
    #[error(
        "The URL's host is localhost. Write 127.0.0.1 instead; the operator must allow it in BELLHOP_EGRESS_ALLOW."
    )]
    Localhost,
    /// A name without a dot.
    #[error(
        "The URL's host `{name}` is a single word, which only means something inside a network. Write it in full."
    )]
    SingleLabel {
        /// The host.
        name: String,
    },
    /// A name that only means something inside a network.
    #[error(
        "The URL's host ends in .{suffix}, which is not on the public internet. Use a public name, or the IP address \
         of a network that the operator allows in BELLHOP_EGRESS_ALLOW."
    )]
    PrivateName {
        /// The part that says so.
        suffix: &'static str,
    },
    /// A cloud's metadata service.
    #[error("The URL's host {name} is a cloud metadata service, which is never allowed.")]
    MetadataName {
        /// The host.
        name: String,
    },
    /// Not a number from 1 to 65535, written plainly.
    #[error("The URL's port is not a number from 1 to 65535.")]
    PortMalformed,
    /// A port that is not allowed.
    #[error("Port {port} is not allowed for webhooks. Use one of {allowed}.")]
    Port {
        /// The port.
        port: u16,
        /// The allowed ones, as text.
        allowed: String,
    },
    /// Anything else that is not a URL, or that two parsers read differently.
    #[error(
        "The URL is not valid: its host, path or query contains characters that must be percent-encoded."
    )]
    Malformed,
}

impl UrlRefused {
    /// The longest URL that is stored, in bytes.
    pub const MAX_LENGTH: usize = 2048;

    /// A stable word for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty => "url_empty",
            Self::TooLong { .. } => "url_too_long",
            Self::Whitespace => "url_whitespace",
            Self::Backslash => "url_backslash",
            Self::NoScheme => "url_no_scheme",
            Self::NoSlashes => "url_no_slashes",
            Self::Scheme => "url_scheme",
            Self::PlainHttp => "url_plain_http",
            Self::UserInfo => "url_user_info",
            Self::Fragment => "url_fragment",
            Self::PercentInHost => "url_percent_in_host",
            Self::HostName => "url_host_name",
            Self::Ipv4Notation { .. } => "url_ipv4_notation",
            Self::Ipv6Form => "url_ipv6_form",
            Self::Address(_) => "url_address",
            Self::OwnAddress => "url_own_address",
            Self::Inside => "url_inside",
            Self::Localhost => "url_localhost",
            Self::SingleLabel { .. } => "url_single_label",
            Self::PrivateName { .. } => "url_private_name",
            Self::MetadataName { .. } => "url_metadata_name",
            Self::PortMalformed => "url_port_malformed",
            Self::Port { .. } => "url_port",
            Self::Malformed => "url_malformed",
        }
    }
}
