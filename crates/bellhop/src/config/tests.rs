use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use tempfile::TempDir;

use super::*;
use crate::random::SystemRandom;

type Pairs<'a> = &'a [(&'static str, &'static str)];

/// Flags, environment and a file, each as pairs.
fn sources(
    directory: &Path,
    flags: &[(&'static str, &str)],
    environment: &[(&str, &str)],
    file: &str,
) -> Sources {
    if !file.is_empty() {
        fs::write(directory.join("bellhop.toml"), file).unwrap();
    }
    Sources {
        flags: flags
            .iter()
            .map(|(name, text)| (*name, (*text).to_owned()))
            .collect(),
        environment: environment
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect(),
        file: None,
        directory: Some(directory.to_owned()),
    }
}

fn shown(loaded: &Loaded, name: &str) -> (Option<String>, String) {
    let one = loaded.shown.iter().find(|one| one.name == name).unwrap();
    (one.value.clone(), one.origin.to_string())
}

#[test]
fn the_defaults_alone_are_a_configuration() {
    let config = Config::of_flags(vec![]).unwrap();
    assert_eq!(config.listen, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(
        config.database,
        Database::Sqlite {
            path: "./bellhop-data/bellhop.db".into()
        }
    );
    assert_eq!(config.token_overlap, Duration::from_hours(24));
    assert!(config.egress.allow.is_empty());
    let loaded = load(&Sources::default()).unwrap();
    let names: Vec<_> = loaded.shown.iter().map(|one| one.name).collect();
    assert_eq!(names, SETTINGS.map(|setting| setting.name));
}

#[test]
fn the_stronger_layer_wins() {
    let file = "# first\nlisten = \"127.0.0.1:1\"\n";
    let environment = [("BELLHOP_LISTEN", "127.0.0.1:2")];
    let flags = [("listen", "127.0.0.1:3")];
    let table: [(Pairs, Pairs, &str, u16, &str); 4] = [
        (&[], &[], "", 8080, "default"),
        (&[], &[], file, 1, "bellhop.toml:2"),
        (&[], &environment, file, 2, "BELLHOP_LISTEN"),
        (&flags, &environment, file, 3, "--listen"),
    ];
    for (flags, environment, file, port, origin) in table {
        let directory = TempDir::new().unwrap();
        let loaded = load(&sources(directory.path(), flags, environment, file)).unwrap();
        assert_eq!(loaded.config.listen.port(), port);
        assert!(shown(&loaded, "listen").1.ends_with(origin));
    }
}

#[test]
fn a_named_file_is_read_and_must_exist() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("other.toml");
    let by_variable = [("BELLHOP_CONFIG", path.to_str().unwrap())];
    let error = load(&sources(directory.path(), &[], &by_variable, "")).unwrap_err();
    assert!(matches!(error, ConfigError::File { doing: "read", .. }));
    fs::write(
        &path,
        "max_in_flight = 7\negress_allow = [\"127.0.0.0/8\", \"10.0.0.0/8\"]",
    )
    .unwrap();
    let config = load(&sources(directory.path(), &[], &by_variable, ""))
        .unwrap()
        .config;
    assert_eq!(config.max_in_flight, 7);
    assert_eq!(config.egress.allow.len(), 2);
}

#[test]
fn unknown_names_stop_the_start_with_a_suggestion() {
    let directory = TempDir::new().unwrap();
    let environment = [("BELLHOP_LISTNE", "x"), ("BELLHOP_OPERATOR_KEY_FIEL", "x")];
    let error = load(&sources(
        directory.path(),
        &[],
        &environment,
        "data_dri = 1\n",
    ))
    .unwrap_err();
    let ConfigError::Unknown(names) = &error else {
        panic!("{error}")
    };
    let meant: Vec<_> = names.iter().map(|name| name.meant.as_deref()).collect();
    assert_eq!(
        meant,
        [
            Some("data_dir"),
            Some("BELLHOP_LISTEN"),
            Some("BELLHOP_OPERATOR_KEY_FILE")
        ]
    );
    assert!(
        error
            .to_string()
            .contains("BELLHOP_LISTNE in the environment is no setting")
    );
    assert!(error.hint().contains("did you mean data_dir"));
}

#[test]
fn a_table_and_a_far_off_name_are_refused_without_a_suggestion() {
    let directory = TempDir::new().unwrap();
    let error = load(&sources(directory.path(), &[], &[], "[zzz]\nx = 1\n")).unwrap_err();
    assert!(matches!(&error, ConfigError::Unknown(names) if names[0].meant.is_none()));
    let error = load(&sources(directory.path(), &[], &[], "[listen]\nx = 1\n")).unwrap_err();
    assert!(matches!(error, ConfigError::Value { .. }), "{error}");
}

#[test]
fn a_wrong_value_names_the_setting_the_origin_and_what_is_allowed() {
    let table = [
        ("BELLHOP_LISTEN", "8080", "127.0.0.1:8080"),
        ("BELLHOP_DATA_DIR", "", "a path"),
        ("BELLHOP_MAX_IN_FLIGHT", "0", "from 1 to 65536"),
        ("BELLHOP_MAX_IN_FLIGHT", "many", "from 1 to 65536"),
        ("BELLHOP_DRAIN_SECONDS", "-1", "in seconds"),
        (
            "BELLHOP_EGRESS_ALLOW",
            "10.0.0.0/8, localhost",
            "not a network",
        ),
        ("BELLHOP_EGRESS_ALLOW", "10.1.0.0/8", "write 10.0.0.0/8"),
        ("BELLHOP_EGRESS_PORTS", "", "at least one port"),
        ("BELLHOP_EGRESS_PORTS", "443, 70000", "from 1 to 65535"),
        ("BELLHOP_LOG", "info,bellhop==x", "levels by module"),
        ("BELLHOP_LOG", "loud", "levels by module"),
        ("BELLHOP_LOG", "", "levels by module"),
        ("BELLHOP_LOG_FORMAT", "xml", "auto, text or json"),
        ("BELLHOP_OPERATOR_KEY", "short-and-guessable", "32 to 512"),
        ("BELLHOP_ENCRYPTION_KEY", "0f0f-not-hex", "64 hex digits"),
        (
            "BELLHOP_DATABASE_URL",
            "mysql://u:word@h/d",
            "postgres://user",
        ),
    ];
    for (variable, value, allowed) in table {
        let directory = TempDir::new().unwrap();
        let error = load(&sources(directory.path(), &[], &[(variable, value)], "")).unwrap_err();
        let text = error.to_string();
        let setting = variable.trim_start_matches("BELLHOP_").to_lowercase();
        assert!(text.starts_with(&setting), "{text}");
        assert!(text.contains(variable) && text.contains(allowed), "{text}");
        if Setting::find(&setting).unwrap().is_secret {
            assert!(
                !text.contains(value) && !format!("{error:?}").contains(value),
                "{text}"
            );
        }
    }
}

#[test]
fn a_syntax_error_names_the_line_and_does_not_quote_it() {
    let directory = TempDir::new().unwrap();
    let file = "log = \"info\"\noperator_key = canary-of-a-secret\n";
    let error = load(&sources(directory.path(), &[], &[], file)).unwrap_err();
    assert!(error.to_string().contains("line 2"), "{error}");
    assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
}

#[test]
fn digits_in_the_environment_stay_text() {
    let directory = TempDir::new().unwrap();
    let digits = "1".repeat(64);
    let environment = [
        ("BELLHOP_ENCRYPTION_KEY", digits.as_str()),
        ("BELLHOP_OPERATOR_KEY", "00000000000000000000000000000001"),
    ];
    let config = load(&sources(directory.path(), &[], &environment, ""))
        .unwrap()
        .config;
    assert_eq!(config.encryption_key.as_ref().unwrap().expose(), digits);
    assert_eq!(
        config.operator_key.as_ref().unwrap().expose(),
        environment[1].1
    );
    assert!(!format!("{config:?}").contains("1111"));
}

#[test]
fn secrets_come_from_files_and_the_stronger_origin_wins() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("key");
    let in_file = "f".repeat(40);
    fs::write(&path, format!("{in_file}\n")).unwrap();
    let path = path.to_str().unwrap();
    let in_environment = "e".repeat(40);
    let by_value = ("BELLHOP_OPERATOR_KEY", in_environment.as_str());
    let by_file = ("BELLHOP_OPERATOR_KEY_FILE", path);
    let toml = format!("operator_key_file = \"{path}\"\n");

    let key = |environment: &[(&str, &str)], file: &str| {
        let loaded = load(&sources(directory.path(), &[], environment, file));
        loaded.map(|loaded| {
            let (value, _) = shown(&loaded, "operator_key");
            assert!(value.unwrap().starts_with("[secret]"));
            loaded.config.operator_key.unwrap().expose().to_owned()
        })
    };
    assert_eq!(key(&[by_file], "").unwrap(), in_file);
    assert_eq!(key(&[by_value], &toml).unwrap(), in_environment);
    assert!(matches!(
        key(&[by_value, by_file], "").unwrap_err(),
        ConfigError::Twice { .. }
    ));
    let toml = format!("operator_key = \"{in_environment}\"\n");
    assert_eq!(key(&[by_file], &toml).unwrap(), in_file);
}

#[test]
fn secrets_are_no_flags() {
    let error = Config::of_flags(vec![("operator_key", "x".repeat(40))]).unwrap_err();
    assert!(
        error.hint().contains("BELLHOP_OPERATOR_KEY_FILE"),
        "{}",
        error.hint()
    );
}

fn in_data_dir(path: &Path) -> Config {
    Config::of_flags(vec![("data_dir", path.to_str().unwrap().to_owned())]).unwrap()
}

#[test]
fn the_first_start_makes_secrets_that_the_second_finds() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("deep/data");
    let config = in_data_dir(&data);
    let first = config.open_secrets(&SystemRandom).unwrap();
    assert_eq!(
        first.made,
        [data.join(OPERATOR_KEY_FILE), data.join(ENCRYPTION_KEY_FILE)]
    );
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    for path in &first.made {
        assert_eq!(mode(path), 0o600);
    }
    assert_eq!(
        fs::read_dir(&data).unwrap().count(),
        2,
        "nothing else is left"
    );
    let second = config.open_secrets(&SystemRandom).unwrap();
    assert_eq!(second.operator_key, first.operator_key);
    assert!(second.made.is_empty());
    assert!(!format!("{first:?}").contains(first.operator_key.expose()));
}

#[test]
fn several_operator_keys_are_the_newest_and_former_ones() {
    let directory = TempDir::new().unwrap();
    let (new, old) = ("n".repeat(32), "o".repeat(40));
    let data = format!("{}/data", directory.path().display());
    let toml = format!("data_dir = \"{data}\"\noperator_key = \"{new}, {old}\"\n");
    let loaded = load(&sources(directory.path(), &[], &[], &toml)).unwrap();
    let secrets = loaded.config.open_secrets(&SystemRandom).unwrap();
    assert_eq!(secrets.operator_key.expose(), new);
    let former: Vec<_> = secrets
        .former_operator_keys
        .iter()
        .map(SecretText::expose)
        .collect();
    assert_eq!(former, [old]);
    // The same in the made file: how the key is rotated that was made on first start.
    let path = Path::new(&data).join(OPERATOR_KEY_FILE);
    let config = in_data_dir(Path::new(&data));
    let made = config.open_secrets(&SystemRandom).unwrap();
    fs::write(&path, format!("{new},{}\n", made.operator_key.expose())).unwrap();
    let rotated = config.open_secrets(&SystemRandom).unwrap();
    assert_eq!(rotated.operator_key.expose(), new);
    assert_eq!(rotated.former_operator_keys, [made.operator_key]);
    for wrong in [
        format!("{new},"),
        format!("{new},short"),
        vec![new; 9].join(","),
    ] {
        let toml = format!("operator_key = \"{wrong}\"\n");
        let error = load(&sources(directory.path(), &[], &[], &toml)).unwrap_err();
        assert!(!error.to_string().contains(&wrong), "{error}");
    }
}

#[test]
fn a_secret_that_others_can_read_is_refused() {
    let directory = TempDir::new().unwrap();
    let config = in_data_dir(directory.path());
    config.open_secrets(&SystemRandom).unwrap();
    let path = directory.path().join(OPERATOR_KEY_FILE);
    for mode in [0o640, 0o604, 0o620] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = config.open_secrets(&SystemRandom).unwrap_err();
        assert_eq!(
            error,
            ConfigError::Exposed {
                path: path.clone(),
                mode
            }
        );
        assert_eq!(error.hint(), format!("chmod 600 {}", path.display()));
    }
}

#[test]
fn a_lost_encryption_key_is_not_replaced_beside_a_database() {
    let directory = TempDir::new().unwrap();
    let config = in_data_dir(directory.path());
    fs::write(directory.path().join("bellhop.db"), "").unwrap();
    let error = config.open_secrets(&SystemRandom).unwrap_err();
    assert!(matches!(error, ConfigError::KeyLost { .. }), "{error}");
    assert!(!directory.path().join(ENCRYPTION_KEY_FILE).exists());
}

#[test]
fn a_damaged_secret_is_not_replaced() {
    let directory = TempDir::new().unwrap();
    let config = in_data_dir(directory.path());
    config.open_secrets(&SystemRandom).unwrap();
    let path = directory.path().join(ENCRYPTION_KEY_FILE);
    fs::write(&path, "").unwrap();
    assert!(matches!(
        config.open_secrets(&SystemRandom).unwrap_err(),
        ConfigError::Damaged { .. }
    ));
    assert_eq!(fs::read_to_string(&path).unwrap(), "");
}

#[test]
fn what_is_kept_for_zero_seconds_is_kept_for_ever() {
    let keep = |text: &str| {
        let flags = [
            "delivery_retention_seconds",
            "tombstone_retention_seconds",
            "audit_retention_seconds",
        ];
        let flags = flags.map(|name| (name, text.to_owned())).to_vec();
        let config = Config::of_flags(flags);
        config.map(|Config { keep, .. }| (keep.deliveries, keep.tombstones, keep.audit))
    };
    assert_eq!(keep("0").unwrap(), (None, None, None));
    let minute = Some(Duration::from_mins(1));
    assert_eq!(keep("60").unwrap(), (minute, minute, minute));
    let error = keep("-1").unwrap_err().to_string();
    assert!(error.contains("0 is for ever"), "{error}");
}
