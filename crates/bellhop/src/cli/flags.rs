//! Settings as flags. Secrets are not among them.

use std::path::PathBuf;

use crate::config::{ConfigError, Loaded, Sources, load};

/// Flags that set what `bellhop.toml` and `BELLHOP_*` set as well; a flag wins.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Settings (each also as BELLHOP_... and in bellhop.toml)")]
pub struct SettingFlags {
    /// Read this file in place of ./bellhop.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the API listens [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Where others reach the API, as in https://bellhop.example.com: the beginning of links to public keys.
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Networks of proxies that are believed when they say who connected to them.
    #[arg(long, value_name = "NETWORKS")]
    trusted_proxies: Option<String>,
    /// The header in which they say it: x-forwarded-for or forwarded [default: x-forwarded-for].
    #[arg(long, value_name = "HEADER")]
    forwarded_header: Option<String>,
    /// Where the database and the made keys live [default: ./bellhop-data].
    #[arg(long, value_name = "DIRECTORY")]
    data_dir: Option<String>,
    /// Networks that webhooks may also reach, over http too, as in 127.0.0.0/8.
    #[arg(long, value_name = "NETWORKS")]
    egress_allow: Option<String>,
    /// Ports that a webhook's URL may name [default: 80, 443, 1024-65535].
    #[arg(long, value_name = "PORTS")]
    egress_ports: Option<String>,
    /// Further certificate authorities to trust, PEM.
    #[arg(long, value_name = "FILE")]
    egress_ca_file: Option<String>,
    /// Who sends the operator's mail, as in "Bellhop <bellhop@example.com>".
    #[arg(long, value_name = "ADDRESS")]
    smtp_from: Option<String>,
    /// Who gets the operator's mail, with commas between.
    #[arg(long, value_name = "ADDRESSES")]
    smtp_to: Option<String>,
    /// How long a former access token works [default: 86400].
    #[arg(long, value_name = "SECONDS")]
    token_overlap_seconds: Option<String>,
    /// How long a body with an access token outlives its deliveries; 0 is at once, never is for ever [default: 86400].
    #[arg(long, value_name = "SECONDS")]
    erasure_grace_seconds: Option<String>,
    /// How long deliveries are kept after they have ended; 0 is for ever [default: 2592000].
    #[arg(long, value_name = "SECONDS")]
    delivery_retention_seconds: Option<String>,
    /// How long what was deleted is kept; 0 is for ever [default: 34560000].
    #[arg(long, value_name = "SECONDS")]
    tombstone_retention_seconds: Option<String>,
    /// How long the audit log is kept; 0 is for ever [default: 0].
    #[arg(long, value_name = "SECONDS")]
    audit_retention_seconds: Option<String>,
    /// Most requests to receivers at one time [default: 2048].
    #[arg(long, value_name = "COUNT")]
    max_in_flight: Option<String>,
    /// Most of them to one host [default: 512].
    #[arg(long, value_name = "COUNT")]
    max_in_flight_per_host: Option<String>,
    /// Most requests a second with one application's key; 0 is no limit [default: 500].
    #[arg(long, value_name = "COUNT")]
    application_key_rate: Option<String>,
    /// Most requests a second from one address to what needs no key; 0 is no limit [default: 50].
    #[arg(long, value_name = "COUNT")]
    keyless_rate: Option<String>,
    /// Whether the dashboard has a built-in receiver; not with PostgreSQL [default: true].
    #[arg(long, value_name = "BOOLEAN")]
    play: Option<String>,
    /// How long requests in flight may take to end at a stop [default: 20].
    #[arg(long, value_name = "SECONDS")]
    drain_seconds: Option<String>,
    /// What is logged: error, warn, info, debug, trace, or levels by module [default: info].
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// How it is logged: auto, text or json [default: auto].
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl SettingFlags {
    /// All settings of this process, from everywhere that they can come from.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        load(&Sources::of_process(self.given(), self.config.clone()))
    }

    fn given(&self) -> Vec<(&'static str, String)> {
        [
            ("listen", &self.listen),
            ("public_url", &self.public_url),
            ("trusted_proxies", &self.trusted_proxies),
            ("forwarded_header", &self.forwarded_header),
            ("data_dir", &self.data_dir),
            ("egress_allow", &self.egress_allow),
            ("egress_ports", &self.egress_ports),
            ("egress_ca_file", &self.egress_ca_file),
            ("smtp_from", &self.smtp_from),
            ("smtp_to", &self.smtp_to),
            ("token_overlap_seconds", &self.token_overlap_seconds),
            ("erasure_grace_seconds", &self.erasure_grace_seconds),
            (
                "delivery_retention_seconds",
                &self.delivery_retention_seconds,
            ),
            (
                "tombstone_retention_seconds",
                &self.tombstone_retention_seconds,
            ),
            ("audit_retention_seconds", &self.audit_retention_seconds),
            ("max_in_flight", &self.max_in_flight),
            ("max_in_flight_per_host", &self.max_in_flight_per_host),
            ("application_key_rate", &self.application_key_rate),
            ("keyless_rate", &self.keyless_rate),
            ("play", &self.play),
            ("drain_seconds", &self.drain_seconds),
            ("log", &self.log),
            ("log_format", &self.log_format),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.clone()?)))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command};

    use super::*;
    use crate::config::{SETTINGS, flag};

    #[test]
    fn every_setting_that_is_no_secret_is_a_flag_and_no_secret_is() {
        let command = SettingFlags::augment_args(Command::new("test"));
        for setting in SETTINGS {
            let is_flag = command
                .get_arguments()
                .any(|arg| arg.get_long() == Some(flag(setting.name).trim_start_matches('-')));
            assert_eq!(is_flag, !setting.is_secret, "{}", setting.name);
        }
    }

    #[test]
    fn every_flag_reaches_its_setting() {
        let values = SETTINGS
            .into_iter()
            .filter(|setting| !setting.is_secret)
            .flat_map(|setting| [flag(setting.name), "x".to_owned()]);
        let command = SettingFlags::augment_args(Command::new("test").no_binary_name(true));
        let matches = command.get_matches_from(values);
        let flags = <SettingFlags as clap::FromArgMatches>::from_arg_matches(&matches).unwrap();
        assert_eq!(
            flags.given().len(),
            SETTINGS.iter().filter(|setting| !setting.is_secret).count()
        );
    }

    #[test]
    fn the_help_gives_the_defaults_that_hold() {
        let help = SettingFlags::augment_args(Command::new("test"))
            .render_long_help()
            .to_string();
        for shown in load(&Sources::default()).unwrap().shown {
            if let Some(value) = shown.value.filter(|value| !value.is_empty()) {
                assert!(
                    help.contains(&format!("[default: {value}]")),
                    "{}",
                    shown.name
                );
            }
        }
    }
}
