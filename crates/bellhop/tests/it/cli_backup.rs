//! `bellhop backup` and `bellhop doctor` beside a real server.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use crate::{cli_remote::Filled, support::server::Server};

/// A command with nothing from outside but these variables.
fn bellhop(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_bellhop"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[track_caller]
fn ends(output: &Output, code: i32, said: &[&str]) -> Value {
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(output.status.code(), Some(code), "{out}{err}");
    for part in said {
        assert!(
            err.contains(part) || out.contains(part),
            "{part}\n{out}{err}"
        );
    }
    serde_json::from_str(&out).unwrap_or_default()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_running_server_is_verified_and_comes_back() {
    let filled = Filled::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backup.db");
    let made = filled
        .server
        .command(&["backup", "create", text(&file), "-o", "json"]);
    let report = ends(&made, 0, &["The encryption key is not in it"]);
    assert_eq!(
        (&report["IsWhole"], &report["Integrations"]),
        (&true.into(), &1.into())
    );
    assert!(report["SealedValues"].as_u64().unwrap() >= 3, "{report}");
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    // What the server goes on to do is not in it, and does not matter to it.
    filled.command("disable").await;
    ends(
        &filled.server.command(&["backup", "verify", text(&file)]),
        0,
        &["sealed values open"],
    );
    // No backup is overwritten.
    let again = filled.server.command(&["backup", "create", text(&file)]);
    ends(&again, 5, &["no backup is overwritten"]);
    // Nor is a database.
    let over = filled.server.command(&["backup", "restore", text(&file)]);
    ends(&over, 5, &["is not overwritten", "hint: stop the server"]);

    // Into another place, with the key of its time.
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::copy(
        filled.server.data_dir().join("encryption-key"),
        data.join("encryption-key"),
    )
    .unwrap();
    let restore = [
        "backup",
        "restore",
        text(&file),
        "--data-dir",
        text(&data),
        "-o",
        "json",
    ];
    let report = ends(&bellhop(&restore, &[]), 0, &["Next: bellhop serve"]);
    assert_eq!(report["IsWhole"], true);
    let restored = Server::start_in(std::sync::Arc::new(place), &[]).await;
    let path = format!("/v1/integrations/{}", filled.word("{INTEGRATION}"));
    // As it was at the moment of the backup.
    assert_eq!(restored.get(&path).await["Sequence"], 1);
    assert!(restored.end().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_is_not_whole_says_so_and_is_not_restored() {
    let filled = Filled::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backup.db");
    ends(
        &filled.server.command(&["backup", "create", text(&file)]),
        0,
        &[],
    );
    // With another key nothing opens.
    let other = [(
        "BELLHOP_ENCRYPTION_KEY",
        "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f",
    )];
    let verified = bellhop(&["backup", "verify", text(&file)], &other);
    ends(&verified, 7, &["a key that is not known here"]);
    let data = folder.path().join("data");
    let restored = bellhop(
        &["backup", "restore", text(&file), "--data-dir", text(&data)],
        &other,
    );
    ends(&restored, 7, &["a key that is not known here"]);
    assert!(!data.join("bellhop.db").exists());
    // A value that was touched.
    let bytes = fs::read(&file).unwrap();
    let mut broken = bytes.clone();
    let middle = broken.len() / 2;
    broken[middle..middle + 4096].fill(0xa5);
    fs::write(&file, broken).unwrap();
    ends(
        &filled.server.command(&["backup", "verify", text(&file)]),
        7,
        &["error: "],
    );
    fs::write(&file, "nothing of the kind").unwrap();
    ends(
        &filled.server.command(&["backup", "verify", text(&file)]),
        7,
        &["error: "],
    );
    fs::remove_file(&file).unwrap();
    ends(
        &filled.server.command(&["backup", "verify", text(&file)]),
        3,
        &["cannot read"],
    );
}

#[test]
fn on_postgresql_a_backup_says_what_to_run() {
    let postgres = [(
        "BELLHOP_DATABASE_URL",
        "postgres://bellhop:hush@127.0.0.1/bellhop",
    )];
    for (arguments, hint) in [
        (["backup", "create", "x.db"], "pg_dump"),
        (["backup", "restore", "x.db"], "pg_restore"),
    ] {
        let output = bellhop(&arguments, &postgres);
        ends(&output, 5, &["which has its own backups", hint]);
        assert!(!String::from_utf8_lossy(&output.stderr).contains("hush"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_finds_a_server_well_and_names_what_is_wrong() {
    let filled = Filled::start().await;
    let server = [
        ("BELLHOP_SERVER", filled.word("{SERVER}")),
        ("BELLHOP_API_KEY", "the-operators-key-of-a-test-0123456789"),
    ];
    let found = ends(&bellhop(&["doctor", "-o", "json"], &server), 0, &[]);
    let verdict = |found: &Value, name: &str| {
        let checks = found["Checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["Name"] == name);
        check.unwrap_or_else(|| panic!("no {name}: {found}"))["Verdict"].clone()
    };
    for name in [
        "version",
        "configuration",
        "server",
        "clock",
        "server version",
        "api key",
    ] {
        assert_eq!(verdict(&found, name), "Ok", "{name}: {found}");
    }
    // Where the server is, its data too.
    let here = filled
        .server
        .command(&["doctor", "-o", "json", "--listen", &filled.server.address]);
    let found = ends(&here, 0, &[]);
    for name in [
        "data directory",
        "keys",
        "database",
        "tls roots",
        "egress",
        "server",
    ] {
        assert_eq!(verdict(&found, name), "Ok", "{name}: {found}");
    }
    // A key that others may read, and a webhook that cannot be reached.
    let closed = zoo::ClosedPort::take().unwrap();
    let url = format!("http://{}/", closed.address().unwrap());
    let key = filled.server.data_dir().join("encryption-key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let sick =
        filled
            .server
            .command(&["doctor", "--url", &url, "--listen", &filled.server.address]);
    ends(
        &sick,
        7,
        &[
            "fail  keys",
            "next: chmod 600",
            "fail  url",
            "connect_refused",
        ],
    );
    let wrong = bellhop(
        &["doctor", "-o", "jsonl"],
        &[("BELLHOP_LISTN", "127.0.0.1:1")],
    );
    ends(&wrong, 7, &["configuration"]);
    let nobody = bellhop(&["doctor", "--server", "http://127.0.0.1:1"], &[]);
    ends(&nobody, 7, &["fail  server"]);
}
