//! What the signed body may have been, judged by the body that the receiver
//! has: the usual ways in which frameworks and editors change bytes.

use super::Cause;
use crate::Message;

/// Larger bodies are tried only as they are.
const MAX_REWRITTEN_BYTES: usize = 1 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A body that may have been signed.
pub(super) struct Rewrite {
    /// What happened to it since; none for the body as it is.
    pub cause: Option<Cause>,
    /// The same for people: "the receiver's body …".
    pub story: &'static str,
    pub bytes: Vec<u8>,
}

/// How to lay JSON out.
struct Layout {
    /// Indentation of a level; none for one line.
    indent: Option<&'static str>,
    comma: &'static str,
    colon: &'static str,
    /// Write texts with as few escapes as possible.
    plain_texts: bool,
}

const COMPACT: Layout = Layout {
    indent: None,
    comma: ",",
    colon: ":",
    plain_texts: false,
};

/// The body as it is, and then every other that it may have come from.
pub(super) fn rewrites(body: &[u8]) -> Vec<Rewrite> {
    let mut found = vec![Rewrite {
        cause: None,
        story: "is as it was sent",
        bytes: body.to_vec(),
    }];
    if body.len() > MAX_REWRITTEN_BYTES {
        return found;
    }
    let mut add = |cause, story, bytes: Vec<u8>| {
        if found.iter().all(|other| other.bytes != bytes) {
            found.push(Rewrite {
                cause: Some(cause),
                story,
                bytes,
            });
        }
    };
    rewrite_ends(body, &mut add);
    let text = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    if let Ok(text) = std::str::from_utf8(text) {
        rewrite_json(text, &mut add);
    }
    found
}

fn rewrite_ends(body: &[u8], add: &mut impl FnMut(Cause, &'static str, Vec<u8>)) {
    let breaks = Cause::BodyLineBreaks;
    if let Some(rest) = body.strip_suffix(b"\n") {
        let rest = rest.strip_suffix(b"\r").unwrap_or(rest);
        add(
            breaks,
            "has a line break at its end that was not sent",
            rest.into(),
        );
    }
    let lost = "has lost the line break at its end";
    add(breaks, lost, [body, b"\n"].concat());
    add(breaks, lost, [body, b"\r\n"].concat());
    let changed = "has other line breaks than were sent";
    let unix = replace(body, b"\r\n", b"\n");
    add(breaks, changed, replace(&unix, b"\n", b"\r\n"));
    add(breaks, changed, unix);
    let trimmed = body.trim_ascii();
    add(
        breaks,
        "has white space around it that was not sent",
        trimmed.into(),
    );
    let mark = Cause::BodyByteOrderMark;
    match body.strip_prefix(BYTE_ORDER_MARK) {
        Some(rest) => {
            add(
                mark,
                "has a byte order mark before it that was not sent",
                rest.into(),
            );
            add(
                mark,
                "has a byte order mark before it that was not sent",
                rest.trim_ascii().into(),
            );
        }
        None => add(
            mark,
            "has lost its byte order mark",
            [BYTE_ORDER_MARK, body].concat(),
        ),
    }
}

fn rewrite_json(text: &str, add: &mut impl FnMut(Cause, &'static str, Vec<u8>)) {
    if serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() {
        return;
    }
    let cause = Cause::BodyReserialised;
    if let Ok(inner) = serde_json::from_str::<String>(text) {
        add(cause, "is wrapped in a JSON text", inner.into_bytes());
    }
    add(
        cause,
        "has white space that was not sent",
        lay_out(text, &COMPACT).into_bytes(),
    );
    let plain = Layout {
        plain_texts: true,
        ..COMPACT
    };
    add(
        cause,
        "was parsed and written again with other escapes",
        lay_out(text, &plain).into_bytes(),
    );
    if let Ok(message) = Message::parse(text.as_bytes()) {
        add(
            cause,
            "was parsed and written again with its members in another order",
            message.to_bytes(),
        );
    }
    let lost = "has lost white space that was sent";
    let spaced = Layout {
        comma: ", ",
        colon: ": ",
        ..COMPACT
    };
    add(cause, lost, lay_out(text, &spaced).into_bytes());
    for indent in ["  ", "    ", "\t"] {
        let pretty = Layout {
            indent: Some(indent),
            colon: ": ",
            ..COMPACT
        };
        add(cause, lost, lay_out(text, &pretty).into_bytes());
    }
}

/// Lays valid JSON out anew, keeping the order of its members and every
/// number as it is written; a parser's value would lose both.
fn lay_out(json: &str, layout: &Layout) -> String {
    let mut out = String::with_capacity(json.len());
    let mut depth = 0;
    let mut rest = json.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, after) = rest.split_at(token_len(rest, first));
        rest = after.trim_start();
        match first {
            '{' | '[' => {
                out.push(first);
                if !rest.starts_with(['}', ']']) {
                    depth += 1;
                    break_line(&mut out, layout, depth);
                }
            }
            '}' | ']' => {
                if !out.ends_with(['{', '[']) {
                    depth -= 1;
                    break_line(&mut out, layout, depth);
                }
                out.push(first);
            }
            ',' => {
                out.push_str(layout.comma);
                break_line(&mut out, layout, depth);
            }
            ':' => out.push_str(layout.colon),
            '"' if layout.plain_texts => out.push_str(&with_few_escapes(token)),
            _ => out.push_str(token),
        }
    }
    out
}

fn break_line(out: &mut String, layout: &Layout, depth: usize) {
    if let Some(indent) = layout.indent {
        out.push('\n');
        out.extend(std::iter::repeat_n(indent, depth));
    }
}

fn token_len(rest: &str, first: char) -> usize {
    match first {
        '"' => {
            let mut escaped = false;
            let end = rest.bytes().skip(1).position(|byte| {
                let closes = byte == b'"' && !escaped;
                escaped = byte == b'\\' && !escaped;
                closes
            });
            end.map_or(rest.len(), |end| end + 2)
        }
        '{' | '}' | '[' | ']' | ',' | ':' => 1,
        _ => rest
            .find([',', '}', ']', ' ', '\t', '\r', '\n'])
            .unwrap_or(rest.len()),
    }
}

fn with_few_escapes(token: &str) -> String {
    serde_json::from_str::<String>(token)
        .and_then(|text| serde_json::to_string(&text))
        .unwrap_or_else(|_| token.to_owned()) // a lone surrogate: keep it
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(from) {
            out.extend_from_slice(to);
            rest = after;
        } else {
            out.push(rest[0]);
            rest = &rest[1..];
        }
    }
    out
}
