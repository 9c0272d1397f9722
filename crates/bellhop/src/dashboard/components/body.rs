//! Bodies and headers as text, never as anything else; and a request as curl.

use maud::{Markup, html};
use serde::de::IgnoredAny;

use crate::domain::masked::MASK;

/// The longest body that is also shown pretty.
const MOST_PRETTY: usize = 64 * 1024;

/// A body, pretty and byte for byte. Both are there without JavaScript: one is folded away.
pub fn body(name: &str, text: &str) -> Markup {
    let pretty = pretty(text);
    html! {
        @if text.is_empty() {
            p.quiet { "The body is empty." }
        } @else if let Some(pretty) = pretty {
            (block(&format!("{name}, pretty"), &pretty))
            details.raw {
                summary { "Raw: " (text.len()) " bytes, as they are" }
                (block(&format!("{name}, raw"), text))
            }
        } @else {
            (block(name, text))
        }
    }
}

/// Headers in the order in which they were sent.
pub fn headers<'a>(name: &str, pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Markup {
    html! {
        details.raw {
            summary { (name) }
            dl.headers {
                @for (name, value) in pairs {
                    div { dt { code { (name) } } dd { code { (value) } } }
                }
            }
        }
    }
}

/// Text that can be scrolled and copied.
pub fn block(name: &str, text: &str) -> Markup {
    html! {
        div.block {
            pre tabindex="0" role="region" aria-label=(name) { code { (text) } }
            button.plain.copy type="button" data-copy-near="" hidden { "Copy" span.unseen { " " (name) } }
        }
    }
}

/// The request as a command. What is masked is a place to fill in.
pub fn curl(url: &str, headers: &[(String, String)], body: Option<&str>) -> String {
    let mut text = format!("curl -X POST {}", quoted(&url.replace(MASK, "SECRET")));
    for (name, value) in headers {
        let value = if value == MASK { "SECRET" } else { value };
        text.push_str(" \\\n  -H ");
        text.push_str(&quoted(&format!("{name}: {value}")));
    }
    if let Some(body) = body {
        text.push_str(" \\\n  --data-raw ");
        text.push_str(&quoted(body));
    }
    text
}

/// As a POSIX shell reads it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The same JSON on many lines. Nothing but white space between its tokens changes: members keep their order, numbers their
/// digits.
fn pretty(text: &str) -> Option<String> {
    let is_nested = text.trim_start().starts_with(['{', '[']);
    if text.len() > MOST_PRETTY || !is_nested || serde_json::from_str::<IgnoredAny>(text).is_err() {
        return None;
    }
    let mut pretty = String::with_capacity(text.len() * 2);
    let (mut depth, mut in_text, mut is_escaped) = (0usize, false, false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if in_text {
            pretty.push(letter);
            in_text = is_escaped || letter != '"';
            is_escaped = !is_escaped && letter == '\\';
            continue;
        }
        match letter {
            ' ' | '\t' | '\r' | '\n' => {}
            '{' | '[' => {
                pretty.push(letter);
                while letters.next_if(char::is_ascii_whitespace).is_some() {}
                if let Some(end) = letters.next_if(|next| matches!(next, '}' | ']')) {
                    pretty.push(end);
                } else {
                    depth += 1;
                    line(&mut pretty, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut pretty, depth);
                pretty.push(letter);
            }
            ',' => {
                pretty.push(letter);
                line(&mut pretty, depth);
            }
            ':' => pretty.push_str(": "),
            _ => {
                in_text = letter == '"';
                pretty.push(letter);
            }
        }
    }
    Some(pretty)
}

/// Deeper than this, lines begin no further in: what nests so deep is not read by its indentation.
const DEEPEST: usize = 16;

fn line(pretty: &mut String, depth: usize) {
    pretty.push('\n');
    pretty.extend(std::iter::repeat_n("  ", depth.min(DEEPEST)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_keeps_what_it_is_given_and_no_secret() {
        let headers = [
            ("webhook-id".to_owned(), "msg_1".to_owned()),
            ("x-api-key".to_owned(), MASK.to_owned()),
        ];
        assert_eq!(
            curl("https://h.example/in?…", &headers, Some("{\"a\":\"it's\"}")),
            "curl -X POST 'https://h.example/in?SECRET' \\\n  -H 'webhook-id: msg_1' \\\n  -H 'x-api-key: SECRET' \\\n  \
             --data-raw '{\"a\":\"it'\\''s\"}'"
        );
    }

    #[test]
    fn pretty_changes_white_space_alone() {
        let text = r#"{"b":[1.50,{}, [ ],"a\\\"{,:"],"a":12345678901234567890}"#;
        let expected = "{\n  \"b\": [\n    1.50,\n    {},\n    [],\n    \"a\\\\\\\"{,:\"\n  ],\n  \"a\": 12345678901234567890\n}";
        assert_eq!(pretty(text).unwrap(), expected);
        for none in ["", "1", "{", "<html>", "{} x"] {
            assert_eq!(pretty(none), None, "{none}");
        }
    }

    #[test]
    fn markup_in_a_body_is_text() {
        let shown = body("Body", "<script>alert(1)</script>").into_string();
        assert!(!shown.contains("<script") && shown.contains("&lt;script&gt;"));
    }
}
