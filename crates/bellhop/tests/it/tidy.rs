//! The house rules that a machine can hold: which module may know which, where SQL and status codes
//! stay, how long a file gets, which words are no names.
//!
//! The rules are the tables here. A rule that is in the way is changed here, in a commit that says why.

mod source;

use std::fs;
use std::path::{Path, PathBuf};

use source::Source;

/// What a module of the server may use.
struct Room {
    module: &'static str,
    /// Other modules of the server.
    uses: &'static [&'static str],
    crates: Crates,
}

enum Crates {
    /// These, besides the standard library.
    Only(&'static [&'static str]),
    /// Any but these.
    Not(&'static [&'static str]),
}

/// What speaks HTTP to those who call us.
const WEB: &[&str] = &[
    "axum",
    "deadpool_postgres",
    "rusqlite",
    "tokio_postgres",
    "tower",
    "tower_http",
    "utoipa",
];
const SQL: &[&str] = &["deadpool_postgres", "rusqlite", "tokio_postgres"];
const NOBODY: &[&str] = &[];

/// The arrows. A module that is not here fails: it has to be given its place.
const ROOMS: &[Room] = &[
    Room {
        module: "domain",
        uses: &["id", "random"],
        crates: Crates::Only(&[
            "aws_lc_rs",
            "base64",
            "bellhop_webhook",
            "bytes",
            "jiff",
            "serde",
            "serde_json",
            "thiserror",
            "url",
            "uuid",
        ]),
    },
    Room {
        module: "store",
        uses: &["clock", "domain", "id", "random", "vault"],
        crates: Crates::Not(&["axum", "http", "hyper", "hyper_util", "tower", "utoipa"]),
    },
    Room {
        module: "delivery",
        uses: &["clock", "domain", "feed", "id", "random", "store"],
        // Not `tower`: hyper-util's client wants its `Service` of a connector.
        crates: Crates::Not(&[
            "axum",
            "deadpool_postgres",
            "rusqlite",
            "tokio_postgres",
            "tower_http",
            "utoipa",
        ]),
    },
    Room {
        module: "lifecycle",
        uses: &["clock", "domain", "feed", "id", "random", "store"],
        crates: Crates::Not(&[
            "axum",
            "deadpool_postgres",
            "http",
            "hyper",
            "rusqlite",
            "tokio_postgres",
        ]),
    },
    Room {
        module: "api",
        uses: &[
            "bucket",
            "clock",
            "domain",
            "feed",
            "id",
            "lifecycle",
            "live",
            "random",
            "store",
            "telemetry",
        ],
        crates: Crates::Not(SQL),
    },
    Room {
        module: "dashboard",
        uses: &[
            "bucket",
            "clock",
            "domain",
            "feed",
            "id",
            "lifecycle",
            "live",
            "random",
            "receiving",
            "store",
        ],
        crates: Crates::Not(SQL),
    },
    Room {
        module: "live",
        uses: &["clock", "domain", "feed", "id", "store"],
        crates: Crates::Not(WEB),
    },
    Room {
        module: "receiving",
        uses: &["clock", "delivery", "domain", "id", "random"],
        crates: Crates::Not(SQL),
    },
    Room {
        module: "feed",
        uses: &["clock", "domain", "id"],
        crates: Crates::Not(WEB),
    },
    Room {
        module: "vault",
        uses: &["domain", "id", "random"],
        crates: Crates::Not(WEB),
    },
    Room {
        module: "id",
        uses: &["clock", "random"],
        crates: Crates::Not(WEB),
    },
    Room {
        module: "bucket",
        uses: NOBODY,
        crates: Crates::Not(WEB),
    },
    Room {
        module: "fault_points",
        uses: NOBODY,
        crates: Crates::Not(WEB),
    },
    Room {
        module: "fuzzing",
        uses: &["api", "delivery"],
        crates: Crates::Not(SQL),
    },
    Room {
        module: "clock",
        uses: NOBODY,
        crates: Crates::Not(WEB),
    },
    Room {
        module: "random",
        uses: NOBODY,
        crates: Crates::Not(WEB),
    },
    Room {
        module: "config",
        uses: &["delivery", "domain", "random", "vault"],
        crates: Crates::Not(WEB),
    },
    Room {
        module: "telemetry",
        uses: &["config", "domain", "id", "random", "store"],
        crates: Crates::Not(WEB),
    },
    Room {
        module: "app",
        uses: &["*"],
        crates: Crates::Not(SQL),
    },
    Room {
        module: "cli",
        uses: &["*"],
        crates: Crates::Not(SQL),
    },
    Room {
        module: "main",
        uses: &["app", "cli", "config", "telemetry"],
        crates: Crates::Not(WEB),
    },
    Room {
        module: "lib",
        uses: NOBODY,
        crates: Crates::Not(WEB),
    },
];

/// Words of the code that stay where they belong: the word, the paths below `src` that may have it,
/// and why.
const KEPT_TO: &[(&str, &[&str], &str)] = &[(
    "StatusCode",
    &[
        "api/",
        "dashboard/",
        "delivery/sender",
        "cli/",
        "receiving/",
    ],
    "status codes are for the API's answers and for what came back from a receiver",
)];

/// Words that the pure part has no use for.
const NOT_IN_DOMAIN: &[&str] = &["async", "await", "Instant", "SystemTime"];

/// Says where a thing stands in a machine instead of what it is.
const NO_NAMES: &[&str] = &[
    "manager", "managers", "service", "services", "util", "utils", "common", "helper", "helpers",
    "job", "jobs", "task", "tasks", "hook", "hooks",
];

/// Names that are whole words of the contract or of another library.
const NAMES_ALL_THE_SAME: &[&str] = &["Service", "service", "ServiceInput", "ServiceObject"];

/// Lines of a file, its tests apart.
const MOST_LINES: usize = 500;

/// Judges one file of the server; `path` is below `src`. One complaint a line.
fn judge(path: &str, text: &str, dependencies: &[String]) -> Vec<String> {
    let source = match Source::read(path, text) {
        Ok(source) => source,
        Err(error) => return vec![format!("{path}: {error}")],
    };
    let module = path.split(['/', '.']).next().unwrap_or(path);
    let Some(room) = ROOMS.iter().find(|room| room.module == module) else {
        return vec![format!(
            "{path}: `{module}` has no row in the table of arrows"
        )];
    };
    let mut complaints = Vec::new();
    for (line, used) in &source.modules {
        let known = ROOMS.iter().any(|room| room.module == used);
        let allowed = used == module || room.uses == ["*"] || room.uses.contains(&used.as_str());
        if known && !allowed {
            complaints.push(format!("{path}:{line}: `{module}` may not use `{used}`"));
        }
    }
    for (line, used) in &source.crates {
        let allowed = match room.crates {
            Crates::Only(these) => these.contains(&used.as_str()),
            Crates::Not(these) => !these.contains(&used.as_str()),
        };
        if !allowed && dependencies.contains(used) {
            complaints.push(format!(
                "{path}:{line}: `{module}` may not use the crate `{used}`"
            ));
        }
    }
    for (line, word) in &source.words {
        for (kept, places, why) in KEPT_TO {
            if word == kept && !places.iter().any(|place| path.starts_with(place)) {
                complaints.push(format!(
                    "{path}:{line}: `{word}` does not belong here: {why}"
                ));
            }
        }
        if module == "domain" && NOT_IN_DOMAIN.contains(&word.as_str()) {
            complaints.push(format!(
                "{path}:{line}: `{word}` in the domain, which is pure"
            ));
        }
    }
    complaints
}

/// Judges one file of any crate here.
fn judge_file(path: &str, text: &str) -> Vec<String> {
    let source = match Source::read(path, text) {
        Ok(source) => source,
        Err(error) => return vec![format!("{path}: {error}")],
    };
    let mut complaints = Vec::new();
    if source.lines > MOST_LINES {
        let lines = source.lines;
        complaints.push(format!(
            "{path}: {lines} lines without its tests; two files are easier to read"
        ));
    }
    for line in &source.unwraps {
        complaints.push(format!(
            "{path}:{line}: `unwrap` outside tests; `expect` says why it cannot fail"
        ));
    }
    let file = Path::new(path).file_stem().and_then(|stem| stem.to_str());
    let file = file.map(|stem| (1, stem.to_owned()));
    for (line, name) in file.iter().chain(&source.names) {
        if NAMES_ALL_THE_SAME.contains(&name.as_str()) {
            continue;
        }
        for word in source::words_of(name) {
            if NO_NAMES.contains(&word.as_str()) {
                complaints.push(format!("{path}:{line}: `{word}` in `{name}` is no name"));
            }
        }
    }
    complaints
}

#[test]
fn the_arrows_hold() {
    let source = root().join("crates/bellhop/src");
    let dependencies = dependencies();
    let complaints: Vec<String> = files(&source)
        .iter()
        .flat_map(|file| judge(&below(file, &source), &read(file), &dependencies))
        .collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn files_are_short_and_named_for_what_they_are() {
    let mut complaints = Vec::new();
    for part in ["crates", "bench", "xtask", "faults", "simulation", "zoo"] {
        for file in files(&root().join(part)) {
            complaints.extend(judge_file(&below(&file, &root()), &read(&file)));
        }
    }
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn a_planted_bad_line_is_found() {
    let dependencies = ["axum", "rusqlite", "tokio", "jiff"].map(str::to_owned);
    let planted = [
        ("domain/x.rs", "use crate::store::Store;"),
        (
            "domain/x.rs",
            "use crate::{id::Ids, store::{Store, Write}};",
        ),
        ("domain/x.rs", "fn f() { let a = crate::api::routes(); }"),
        ("domain/x.rs", "use super::super::lifecycle::Lifecycle;"),
        ("domain/x.rs", "use tokio::sync::Mutex;"),
        ("domain/x.rs", "async fn f() {}"),
        ("lifecycle.rs", "use super::api::Problem;"),
        ("store/mod.rs", "use axum::http::HeaderMap;"),
        ("store/mod.rs", "fn f() { log!(crate::delivery::LIMIT) }"),
        ("delivery/mod.rs", "fn f(c: &rusqlite::Connection) {}"),
        ("delivery/lane.rs", "fn f(code: hyper::StatusCode) {}"),
        ("api/mod.rs", "use rusqlite;"),
        ("main.rs", "use bellhop::store::Store;"),
        ("warehouse.rs", "fn f() {}"),
    ];
    for (path, line) in planted {
        let complaints = judge(path, line, &dependencies);
        assert_eq!(complaints.len(), 1, "{path}: {line}: {complaints:?}");
    }
    let names = [
        "struct LaneManager;",
        "fn job_of() {}",
        "mod util {}",
        "fn f() { a.unwrap(); }",
    ];
    for line in names {
        assert_eq!(judge_file("x.rs", line).len(), 1, "{line}");
    }
    assert_eq!(judge_file("helpers.rs", "").len(), 1);
    assert_eq!(judge_file("x.rs", &"\n".repeat(501)).len(), 1);
}

#[test]
fn a_good_line_is_left_alone() {
    let dependencies = ["axum", "rusqlite", "tokio", "url"].map(str::to_owned);
    let good = [
        ("domain/x.rs", "use crate::{id::Ids, domain::retry};"),
        (
            "domain/x.rs",
            "// crate::store::Store\nconst A: &str = \"crate::store\";",
        ),
        ("domain/x.rs", "use super::retry::Schedule;"),
        (
            "domain/x.rs",
            "#[cfg(test)] mod tests { use crate::store::Store; fn f() { a.unwrap() } }",
        ),
        ("domain/x_tests.rs", "use crate::store::Store;"),
        ("feed.rs", "use crate::domain::{axum::X};"),
        ("store/sqlite/mod.rs", "use rusqlite::Connection;"),
        ("app.rs", "use crate::{api, store, delivery};"),
        ("delivery/sender.rs", "use hyper::StatusCode;"),
        ("api/x.rs", "struct Webhook; struct Service { service: u8 }"),
    ];
    for (path, line) in good {
        assert_eq!(judge(path, line, &dependencies), [""; 0], "{path}: {line}");
        assert_eq!(judge_file(path, line), [""; 0], "{path}: {line}");
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("the crate lies two folders below the root")
        .to_path_buf()
}

/// All Rust files below a folder; none when the folder is not there.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() && !path.ends_with("target") {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn below(file: &Path, folder: &Path) -> String {
    let path = file.strip_prefix(folder).expect("a file of the folder");
    path.to_string_lossy().replace('\\', "/")
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The crates that the server depends on, as they are written in paths.
fn dependencies() -> Vec<String> {
    let manifest = read(&root().join("crates/bellhop/Cargo.toml"));
    let names: Vec<String> = manifest
        .lines()
        .skip_while(|line| *line != "[dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .map(|name| name.replace('-', "_"))
        .collect();
    assert!(names.contains(&"axum".to_owned()), "{names:?}");
    names
}
