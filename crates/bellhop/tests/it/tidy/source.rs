//! A Rust file as the rules see it: what it uses, what it names, how long it is, without its tests.
//!
//! It reads tokens, so comments and texts do not count, and what stands inside a macro's call does.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// Each with its line.
#[derive(Debug, Default)]
pub struct Source {
    /// Top-level modules of the server that are named in paths.
    pub modules: Vec<(usize, String)>,
    /// What other paths begin with: crates, and names that are in scope.
    pub crates: Vec<(usize, String)>,
    /// Every word of the code.
    pub words: Vec<(usize, String)>,
    /// Names that are given here: types, functions, modules, constants.
    pub names: Vec<(usize, String)>,
    /// Calls of `unwrap`.
    pub unwraps: Vec<usize>,
    /// Lines of the file without those of its tests.
    pub lines: usize,
}

/// A keyword and the name behind it.
const NAMING: &[&str] = &[
    "struct", "enum", "trait", "fn", "mod", "type", "const", "static",
];

impl Source {
    /// Reads a file; `path` is below `src` and tells which module it is.
    pub fn read(path: &str, text: &str) -> Result<Self, String> {
        // A file of tests, or one of a folder of tests, is not judged.
        if path.ends_with("tests.rs") || path.contains("tests/") {
            return Ok(Self::default());
        }
        let mut source = Self {
            lines: text.lines().count(),
            ..Self::default()
        };
        let tokens: TokenStream = text.parse().map_err(|error| format!("{error}"))?;
        let mut place = place_of(path);
        source.walk(tokens, &mut place, false);
        Ok(source)
    }

    /// `continued`: the tokens follow a `::`, so that their paths do not begin here.
    fn walk(&mut self, tokens: TokenStream, place: &mut Vec<String>, continued: bool) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            if let Some(after) = test_item(&tokens, at) {
                let from = line_of(token);
                let to = tokens[after - 1].span().end().line;
                self.lines = self.lines.saturating_sub(to + 1 - from);
                at = after;
                continue;
            }
            match token {
                TokenTree::Ident(_) => self.word(&tokens, at, place, continued),
                TokenTree::Group(group) => self.group(&tokens, at, group, place, continued),
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
            at += 1;
        }
    }

    fn word(&mut self, tokens: &[TokenTree], at: usize, place: &[String], continued: bool) {
        let (line, word) = (line_of(&tokens[at]), text_of(&tokens[at]));
        self.words.push((line, word.clone()));
        let before = at.checked_sub(1).map(|at| text_of(&tokens[at]));
        let before = before.as_deref().unwrap_or("");
        if NAMING.contains(&before) {
            self.names.push((line, word.clone()));
        }
        if before == "." {
            if word == "unwrap" {
                self.unwraps.push(line);
            }
            return;
        }
        if before == ":" && is_path_sign(tokens, at.wrapping_sub(2))
            || continued && starts(tokens, at)
        {
            return;
        }
        let is_used = before == "use" || is_path_sign(tokens, at + 1);
        if is_used {
            self.path(tokens, at, place);
        }
    }

    /// A path that begins here.
    fn path(&mut self, tokens: &[TokenTree], at: usize, place: &[String]) {
        let (line, root) = (line_of(&tokens[at]), text_of(&tokens[at]));
        let mut ups = 0;
        let mut next = at;
        while text_of(&tokens[next]) == "super" && is_path_sign(tokens, next + 1) {
            ups += 1;
            next += 3;
        }
        match root.as_str() {
            "crate" | "bellhop" => next += 3,
            "super" if ups >= place.len() => {}
            "super" | "self" | "Self" => return,
            _ => {
                self.crates.push((line, root));
                return;
            }
        }
        match tokens.get(next) {
            Some(TokenTree::Group(group)) => {
                let inside: Vec<TokenTree> = group.stream().into_iter().collect();
                for (index, token) in inside.iter().enumerate() {
                    if starts(&inside, index) {
                        self.modules.push((line_of(token), text_of(token)));
                    }
                }
            }
            Some(token) => self.modules.push((line, text_of(token))),
            None => {}
        }
    }

    fn group(
        &mut self,
        tokens: &[TokenTree],
        at: usize,
        group: &Group,
        place: &mut Vec<String>,
        continued: bool,
    ) {
        let is_module = at >= 2 && text_of(&tokens[at - 2]) == "mod";
        if is_module && group.delimiter() == Delimiter::Brace {
            place.push(text_of(&tokens[at - 1]));
            self.walk(group.stream(), place, false);
            place.pop();
        } else {
            let follows = at >= 2 && is_path_sign(tokens, at - 2);
            self.walk(group.stream(), place, follows || continued);
        }
    }
}

/// The words of a name in `snake_case` or `CamelCase`, in lower case.
pub fn words_of(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for letter in name.chars() {
        if letter == '_' || letter.is_uppercase() {
            words.push(String::new());
        }
        if letter != '_' {
            let word = words.last_mut().expect("there is always one");
            word.extend(letter.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The module that a file is: `delivery/sender.rs` is `delivery::sender`.
fn place_of(path: &str) -> Vec<String> {
    let path = path.trim_end_matches(".rs").trim_end_matches("/mod");
    let names = path
        .split('/')
        .filter(|name| !["lib", "main"].contains(name));
    names.map(str::to_owned).collect()
}

/// Where an item under `#[cfg(test)]` ends that begins here: behind its braces or its semicolon.
fn test_item(tokens: &[TokenTree], at: usize) -> Option<usize> {
    let [TokenTree::Punct(sign), TokenTree::Group(attribute)] = tokens.get(at..at + 2)? else {
        return None;
    };
    let attribute = attribute.stream().to_string().replace(' ', "");
    if sign.as_char() != '#' || attribute != "cfg(test)" {
        return None;
    }
    let ends = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Punct(sign) => sign.as_char() == ';',
        _ => false,
    };
    let length = tokens[at..].iter().position(ends)?;
    Some(at + length + 1)
}

/// Whether the word is the first of its path inside the braces of a `use`.
fn starts(tokens: &[TokenTree], at: usize) -> bool {
    let before = at.checked_sub(1).map(|at| text_of(&tokens[at]));
    matches!(tokens[at], TokenTree::Ident(_)) && matches!(before.as_deref(), None | Some(","))
}

fn is_path_sign(tokens: &[TokenTree], at: usize) -> bool {
    let is_colon = |at: usize| tokens.get(at).is_some_and(|token| text_of(token) == ":");
    is_colon(at) && is_colon(at.wrapping_add(1))
}

fn line_of(token: &TokenTree) -> usize {
    token.span().start().line
}

fn text_of(token: &TokenTree) -> String {
    match token {
        // The text of a group would be copied whole, and nobody asks for it.
        TokenTree::Group(_) => String::new(),
        other => other.to_string(),
    }
}
