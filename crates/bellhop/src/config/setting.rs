//! The names of all settings. A setting is added here, in `bellhop.default.toml`, and in [`Config`](super::Config).

/// One setting: what it is called in a file; `BELLHOP_` and capitals make it a variable, hyphens make it a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// As in `bellhop.toml`.
    pub name: &'static str,
    /// Whether its value must not be shown. A secret is never a flag, and can come from `<name>_file`.
    pub is_secret: bool,
}

/// All of them, in the order in which they are documented and shown.
pub const SETTINGS: [Setting; 29] = [
    plain("listen"),
    plain("public_url"),
    plain("trusted_proxies"),
    plain("forwarded_header"),
    plain("data_dir"),
    secret("database_url"),
    secret("operator_key"),
    secret("encryption_key"),
    plain("egress_allow"),
    plain("egress_ports"),
    plain("egress_ca_file"),
    secret("operator_webhook_url"),
    secret("operator_webhook_secret"),
    secret("smtp_url"),
    plain("smtp_from"),
    plain("smtp_to"),
    plain("token_overlap_seconds"),
    plain("erasure_grace_seconds"),
    plain("delivery_retention_seconds"),
    plain("tombstone_retention_seconds"),
    plain("audit_retention_seconds"),
    plain("max_in_flight"),
    plain("max_in_flight_per_host"),
    plain("application_key_rate"),
    plain("keyless_rate"),
    plain("play"),
    plain("drain_seconds"),
    plain("log"),
    plain("log_format"),
];

/// Variables that begin with `BELLHOP_` and are no settings of the server.
pub const OTHER_VARIABLES: [&str; 6] = [
    "BELLHOP_API_KEY",
    "BELLHOP_API_KEY_FILE",
    "BELLHOP_CONFIG",
    "BELLHOP_SERVER",
    "BELLHOP_WEBHOOK_SECRET",
    "BELLHOP_WEBHOOK_SECRET_FILE",
];

/// What makes the name of a secret the name of a file that holds it.
const FILE_SUFFIX: &str = "_file";

impl Setting {
    /// The setting with this name.
    pub fn find(name: &str) -> Option<Self> {
        SETTINGS.into_iter().find(|setting| setting.name == name)
    }

    /// The name under which a file that holds the secret is given.
    pub fn file_name(self) -> String {
        format!("{}{FILE_SUFFIX}", self.name)
    }

    /// All names that a configuration file may use.
    pub fn known_names() -> impl Iterator<Item = String> {
        SETTINGS.into_iter().flat_map(|setting| {
            let file = setting.is_secret.then(|| setting.file_name());
            std::iter::once(setting.name.to_owned()).chain(file)
        })
    }
}

/// The variable that sets what is called `name` in a file.
pub fn variable(name: &str) -> String {
    format!("BELLHOP_{}", name.to_ascii_uppercase())
}

/// The flag that sets what is called `name` in a file.
pub fn flag(name: &str) -> String {
    format!("--{}", name.replace('_', "-"))
}

const fn plain(name: &'static str) -> Setting {
    Setting {
        name,
        is_secret: false,
    }
}

const fn secret(name: &'static str) -> Setting {
    Setting {
        name,
        is_secret: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_settings_are_the_settings() {
        let documented: Vec<_> = include_str!("../../../../bellhop.default.toml")
            .lines()
            .filter_map(|line| {
                let (name, _) = line.trim_start_matches("# ").split_once(" = ")?;
                let is_name = name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
                is_name.then(|| name.to_owned())
            })
            .collect();
        let known: Vec<_> = Setting::known_names().collect();
        assert_eq!(documented, known);
    }
}
