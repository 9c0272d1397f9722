//! Documents as tables. What others have written is shown without what could command a terminal.

use std::{
    fmt::{self, Write as _},
    marker::PhantomData,
};

use anstyle::Style;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

use crate::cli::style::{BAD, DIM, GOOD, HEAD, WARN};

/// A column: its heading and the member that it shows, `A.B` for a member of a member.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    heading: &'static str,
    member: &'static str,
}

/// A column.
pub const fn column(heading: &'static str, member: &'static str) -> Column {
    Column { heading, member }
}

/// A text without control characters: names and answers are other people's.
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|letter| {
            if letter.is_control() {
                '\u{fffd}'
            } else {
                letter
            }
        })
        .collect()
}

/// A value as a cell has it.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => clean(text),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(","),
        Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

/// What a state means at a glance. The word stays: colour only repeats it.
fn style(member: &str, text: &str) -> Style {
    match (member, text) {
        ("State" | "Health.Circuit" | "Outcome", state) => match state {
            "Delivered" | "Enabled" | "Closed" | "Completed" | "Succeeded" => GOOD,
            "Failed" | "Disabled" | "Open" => BAD,
            "Pending" | "Paused" | "HalfOpen" | "Canceled" | "Running" => WARN,
            _ => DIM,
        },
        ("Cause", _) if text != "-" => BAD,
        _ => Style::new(),
    }
}

fn member<'a>(item: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(item, |value, name| &value[name])
}

/// How wide the columns are that show these items.
pub fn widths(items: &[Value], columns: &[Column]) -> Vec<usize> {
    columns
        .iter()
        .map(|column| {
            let cells = items
                .iter()
                .map(|item| cell(member(item, column.member)).chars().count());
            cells.chain([column.heading.len()]).max().unwrap_or(0)
        })
        .collect()
}

/// The headings.
pub fn header(columns: &[Column], widths: &[usize]) -> String {
    let mut text = String::new();
    for (column, width) in columns.iter().zip(widths) {
        let _ = write!(text, "{:width$}  ", column.heading);
    }
    format!("{HEAD}{}{HEAD:#}", text.trim_end())
}

/// One item.
pub fn line(item: &Value, columns: &[Column], widths: &[usize]) -> String {
    let mut text = String::new();
    for (index, (column, width)) in columns.iter().zip(widths).enumerate() {
        let shown = cell(member(item, column.member));
        let style = style(column.member, &shown);
        // Nothing is filled up behind the last one.
        let width = if index + 1 == columns.len() {
            0
        } else {
            *width
        };
        let space = width.saturating_sub(shown.chars().count());
        let _ = write!(text, "{style}{shown}{style:#}{:space$}", "");
        if width > 0 {
            text.push_str("  ");
        }
    }
    text
}

/// One item with columns of its own width.
pub fn row(item: &Value, columns: &[(Column, usize)]) -> String {
    let (columns, widths): (Vec<_>, Vec<_>) = columns.iter().copied().unzip();
    line(item, &columns, &widths)
}

/// A document that was parsed already, as a value; null if it is none.
pub fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// The members of a document, in the order in which they stand there.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct InOrder<'a>(PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for InOrder<'a> {
            type Value = Members<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(InOrder(PhantomData))
    }
}

/// A document, a member a line; documents in it beneath.
pub fn details(text: &str) -> String {
    let mut shown = String::new();
    add_details(&mut shown, text, 0);
    shown
}

fn add_details(shown: &mut String, text: &str, depth: usize) {
    let indent = depth * 2;
    let Ok(Members(members)) = serde_json::from_str::<Members<'_>>(text) else {
        let _ = writeln!(shown, "{:indent$}{}", "", cell(&parsed(text)));
        return;
    };
    let width = members
        .iter()
        .map(|(name, _)| name.len())
        .max()
        .unwrap_or(0);
    for (name, raw) in &members {
        let raw = raw.get();
        let items: Vec<&RawValue> = serde_json::from_str(raw).unwrap_or_default();
        if raw.starts_with('{') && raw != "{}" {
            let _ = writeln!(shown, "{:indent$}{DIM}{name}{DIM:#}", "");
            add_details(shown, raw, depth + 1);
        } else if items.iter().any(|item| item.get().starts_with('{')) {
            for (index, item) in items.iter().enumerate() {
                let _ = writeln!(shown, "{:indent$}{DIM}{name} {}{DIM:#}", "", index + 1);
                add_details(shown, item.get(), depth + 1);
            }
        } else {
            let value = cell(&parsed(raw));
            let style = style(name, &value);
            let space = width - name.len();
            let _ = writeln!(
                shown,
                "{:indent$}{DIM}{name}{DIM:#}{:space$}  {style}{value}{style:#}",
                "", ""
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_cannot_command_a_terminal() {
        let item = json!({ "Name": "a\u{1b}[2Jb\r\n\u{9b}c" });
        let columns = [column("NAME", "Name")];
        let shown = line(
            &item,
            &columns,
            &widths(std::slice::from_ref(&item), &columns),
        );
        assert_eq!(
            anstream::adapter::strip_str(&shown).to_string(),
            "a\u{fffd}[2Jb\u{fffd}\u{fffd}\u{fffd}c"
        );
        assert!(!details(&item.to_string()).contains("\u{1b}[2J"));
    }

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let items = [
            json!({ "A": "x", "B": { "C": [1, 2] } }),
            json!({ "A": "longer", "B": { "C": null } }),
        ];
        let columns = [column("A", "A"), column("CC", "B.C")];
        let widths = widths(&items, &columns);
        let shown: Vec<String> = items
            .iter()
            .map(|item| line(item, &columns, &widths))
            .collect();
        let plain = |text: &str| anstream::adapter::strip_str(text).to_string();
        assert_eq!(plain(&header(&columns, &widths)), "A       CC");
        assert_eq!(plain(&shown[0]), "x       1,2");
        assert_eq!(plain(&shown[1]), "longer  -");
    }
}
