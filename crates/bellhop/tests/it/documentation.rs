//! Every command line that a page or a help text shows is one that the program takes.

use std::{fs, path::Path};

use bellhop::cli::Cli;
use clap::{CommandFactory as _, Parser as _, error::ErrorKind};

/// Words of the pages that stand for something, and an example of it.
const STAND_INS: [(&str, &str); 4] = [
    ("ID", "00000000-0000-7000-8000-000000000000"),
    ("DELIVERY", "00000000-0000-7000-8000-000000000000"),
    ("APPLICATION", "00000000-0000-7000-8000-000000000000"),
    (
        "HASH",
        "0000000000000000000000000000000000000000000000000000000000000000",
    ),
];

/// The command of a line; `None` if it is not one of ours. What the shell does with its output, and what is said about it
/// behind two spaces, is not of it.
fn command(line: &str) -> Option<Vec<String>> {
    let line = line.trim_start();
    let line = line.strip_prefix("$ ").unwrap_or(line);
    if !line.starts_with("bellhop ") {
        return None;
    }
    // What another command says is put in.
    let line = match line.split_once("$(").zip(line.split_once(')')) {
        Some(((before, _), (_, after))) => &format!("{before}said{after}"),
        None => line,
    };
    let mut words = Vec::new();
    let mut rest = line;
    while !rest.trim_start().is_empty()
        && !rest.starts_with(['#', '|', '>', '&', ' '])
        && !rest.starts_with("2>")
    {
        let quote = rest
            .chars()
            .next()
            .filter(|letter| matches!(letter, '\'' | '"'));
        let (word, after) = match quote {
            Some(quote) => rest[1..].split_once(quote).expect("a quote ends"),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        words.push(word.to_owned());
        rest = match quote {
            Some(_) => after.strip_prefix(' ').unwrap_or(after),
            None => after,
        };
    }
    Some(words)
}

/// The commands in a text; a line that ends with a backslash goes on.
fn commands<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Vec<String>> {
    let lines: Vec<_> = lines.map(str::trim).collect();
    let text = lines.join("\n").replace("\\\n", "");
    text.lines().filter_map(command).collect()
}

/// Lines of a page that are shown as code.
fn code(page: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    page.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        is_code && !is_fence
    })
}

/// Why the program would not take it.
fn fault(words: &[String]) -> Option<String> {
    let given = words.iter().map(|word| {
        let is_hash = word.ends_with('…');
        let stand_in = STAND_INS
            .iter()
            .find(|(name, _)| name == word || is_hash && *name == "HASH");
        stand_in.map_or(word.as_str(), |(_, example)| *example)
    });
    let error = Cli::try_parse_from(given).err()?;
    (error.kind() != ErrorKind::DisplayHelp).then(|| format!("{words:?}: {error}"))
}

#[test]
fn every_command_of_a_page_is_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut pages = vec![root.join("README.md"), root.join("SECURITY.md")];
    for entry in fs::read_dir(root.join("docs")).unwrap() {
        pages.push(entry.unwrap().path());
    }
    pages.retain(|page| page.extension().is_some_and(|end| end == "md"));
    let (mut count, mut faults) = (0, Vec::new());
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for words in commands(code(&text)) {
            count += 1;
            let name = page.file_name().unwrap().display();
            faults.extend(fault(&words).map(|fault| format!("{name}: {fault}")));
        }
    }
    assert!(count > 30, "only {count} were found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_example_of_a_help_text_is_a_command() {
    let mut left = vec![Cli::command()];
    let (mut count, mut faults) = (0, Vec::new());
    while let Some(of) = left.pop() {
        left.extend(of.get_subcommands().cloned());
        let help = of.get_after_help().map(ToString::to_string);
        for words in commands(help.iter().flat_map(|help| help.lines())) {
            count += 1;
            faults.extend(fault(&words));
        }
    }
    assert!(count > 30, "only {count} were found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_command_that_is_none_is_seen() {
    for (line, is_one) in [
        ("bellhop tail --state Failed   # as it happens", true),
        (
            "$ bellhop enterprise create --name 'Sample Chain Hotel 1'",
            true,
        ),
        ("bellhop tail -o jsonl | jq .Data.Cause", true),
        ("bellhop audit verify    the log of the database", true),
        ("bellhop trail", false),
        ("bellhop tail --sate Failed", false),
        ("bellhop webhook get", false),
    ] {
        let fault = fault(&command(line).unwrap());
        assert_eq!(fault.is_none(), is_one, "{line}: {fault:?}");
    }
    assert_eq!(command("cargo build"), None);
}
