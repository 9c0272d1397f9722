//! How what a server answers is printed: data on stdout, and nothing else there. Documents are printed as they came, member for
//! member in the server's order: a message's body among them is byte for byte what is sent.

use std::io::{self, Write as _};

use serde_json::value::RawValue;

use super::table::{Column, details, header, line, parsed, widths};

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Output {
    /// Aligned columns, for people.
    #[default]
    Table,
    /// One document, as the API has it.
    Json,
    /// One document a line.
    Jsonl,
}

/// How to print what comes bit by bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Lines {
    /// Aligned columns, for people.
    #[default]
    Table,
    /// One document a line.
    Jsonl,
}

/// How to print, as a flag.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct Printed {
    /// How to print what the server answers.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

impl Output {
    /// Prints one document.
    pub fn one(self, text: &str) -> io::Result<()> {
        let mut out = anstream::stdout().lock();
        match self {
            Self::Table => write!(out, "{}", details(text))?,
            Self::Json => writeln!(out, "{}", indented(text))?,
            Self::Jsonl => writeln!(out, "{text}")?,
        }
        out.flush()
    }

    /// Prints a part of a list; columns are as wide as the first part needs.
    pub fn part(
        self,
        items: &[&RawValue],
        columns: &[Column],
        kept: &mut Option<Vec<usize>>,
    ) -> io::Result<()> {
        let mut out = anstream::stdout().lock();
        match self {
            Self::Table => {
                let items: Vec<_> = items.iter().map(|item| parsed(item.get())).collect();
                if kept.is_none() {
                    let widths = kept.insert(widths(&items, columns));
                    writeln!(out, "{}", header(columns, widths))?;
                }
                let widths = kept.as_deref().unwrap_or_default();
                for item in &items {
                    writeln!(out, "{}", line(item, columns, widths))?;
                }
            }
            Self::Jsonl => {
                for item in items {
                    writeln!(out, "{item}")?;
                }
            }
            // A list is one document: it is printed when it is whole.
            Self::Json => {}
        }
        out.flush()
    }
}

/// A compact document with its members on lines of their own. Only white space is added.
pub fn indented(text: &str) -> String {
    let mut written = String::with_capacity(text.len() * 2);
    let (mut depth, mut is_text, mut is_escaped) = (0_usize, false, false);
    let mut letters = text.chars().peekable();
    let new_line = |written: &mut String, depth: usize| {
        written.push('\n');
        written.extend(std::iter::repeat_n("  ", depth));
    };
    while let Some(letter) = letters.next() {
        if is_text {
            written.push(letter);
            is_text = is_escaped || letter != '"';
            is_escaped = !is_escaped && letter == '\\';
            continue;
        }
        match letter {
            '{' | '[' => {
                written.push(letter);
                if letters.next_if(|next| matches!(next, '}' | ']')).is_some() {
                    written.push(if letter == '{' { '}' } else { ']' });
                    continue;
                }
                depth += 1;
                new_line(&mut written, depth);
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut written, depth);
                written.push(letter);
            }
            ',' => {
                written.push(letter);
                new_line(&mut written, depth);
            }
            ':' => written.push_str(": "),
            letter => {
                is_text = letter == '"';
                written.push(letter);
            }
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn indenting_adds_white_space_and_nothing_else() {
        let document = json!({ "a": [], "b": {}, "c": [1, { "d": "x\" ,:{[\\" }], "e": "\\", "f": [[true, null]] });
        let compact = document.to_string();
        let shown = indented(&compact);
        assert_eq!(shown, format!("{document:#}"));
        assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), document);
    }
}
