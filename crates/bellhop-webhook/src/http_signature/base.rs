//! The signature base: the lines that are signed (RFC 9421 section 2.5).

use std::fmt::Write as _;

use sfv::{BareItem, InnerList, ListEntry, ListSerializer};

use super::verify::HttpVerifyError;

/// Most components that one signature may cover.
const MAX_COMPONENTS: usize = 32;

/// A request as a receiver has it.
#[derive(Clone, Copy)]
pub struct HttpRequest<'a> {
    /// In capitals, as HTTP has it.
    pub method: &'a str,
    /// The host that the sender meant, with its port unless it is the scheme's own: its `host` header. Behind a proxy
    /// that puts another one there, the public one.
    pub authority: &'a str,
    /// The path, as it was sent, without the query.
    pub path: &'a str,
    /// What followed the path's `?`, without it; `None` if there was none.
    pub query: Option<&'a str>,
    /// Names, in any case, and values.
    pub headers: &'a [(&'a str, &'a str)],
}

impl HttpRequest<'_> {
    /// The value of a header; several of one name are joined with a comma (RFC 9421 section 2.1).
    pub(super) fn header(&self, name: &str) -> Option<String> {
        let mut joined: Option<String> = None;
        for (_, value) in self
            .headers
            .iter()
            .filter(|(each, _)| each.eq_ignore_ascii_case(name))
        {
            let value = value.trim_matches([' ', '\t']);
            match &mut joined {
                Some(text) => {
                    text.push_str(", ");
                    text.push_str(value);
                }
                None => joined = Some(value.to_owned()),
            }
        }
        joined
    }

    fn component(&self, name: &str) -> Option<String> {
        match name {
            "@method" => Some(self.method.to_owned()),
            "@authority" => Some(self.authority.to_ascii_lowercase()),
            "@path" if self.path.is_empty() => Some("/".to_owned()),
            "@path" => Some(self.path.to_owned()),
            "@query" => Some(format!("?{}", self.query.unwrap_or_default())),
            _ if name.starts_with('@') => None,
            _ => self.header(name),
        }
    }
}

/// The names that a signature covers, in order: plain ones, each once.
pub(super) fn names(covered: &InnerList) -> Result<Vec<&str>, HttpVerifyError> {
    if covered.items.len() > MAX_COMPONENTS {
        return Err(HttpVerifyError::TooMany);
    }
    let mut names = Vec::with_capacity(covered.items.len());
    for item in &covered.items {
        let BareItem::String(name) = &item.bare_item else {
            return Err(HttpVerifyError::Malformed("signature-input"));
        };
        let name = name.as_str();
        let is_plain =
            item.params.is_empty() && !name.bytes().any(|byte| byte.is_ascii_uppercase());
        if !is_plain {
            return Err(HttpVerifyError::Component(name.to_owned()));
        }
        if names.contains(&name) {
            return Err(HttpVerifyError::Malformed("signature-input"));
        }
        names.push(name);
    }
    Ok(names)
}

/// The lines that a signature with this input is over.
pub(super) fn of_input(
    request: &HttpRequest<'_>,
    covered: &InnerList,
) -> Result<String, HttpVerifyError> {
    let mut base = String::with_capacity(512);
    for name in names(covered)? {
        let value = request
            .component(name)
            .filter(|value| {
                value
                    .bytes()
                    .all(|byte| byte == b'\t' || (0x20..0x7f).contains(&byte))
            })
            .ok_or_else(|| HttpVerifyError::Component(name.to_owned()))?;
        line(&mut base, name, &value);
    }
    let mut input = ListSerializer::new();
    input.members([&ListEntry::InnerList(covered.clone())]);
    let input = input.finish().unwrap_or_default();
    let _ = write!(base, "\"@signature-params\": {input}");
    Ok(base)
}

/// One line of the base, its end included.
pub(super) fn line(base: &mut String, name: &str, value: &str) {
    for part in ["\"", name, "\": ", value, "\n"] {
        base.push_str(part);
    }
}
