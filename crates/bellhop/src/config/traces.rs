//! Whether and where traces go. Their variables are those of OpenTelemetry, the same for every program, and no settings
//! of Bellhop: the SDK reads the rest of them itself (headers, sampler, resource, delays). What is read here is what
//! switches traces on, and what would otherwise be wrong without a word.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use url::Url;

use super::ConfigError;
use crate::domain::secret_text::SecretText;

/// How their names begin.
pub(super) const PREFIX: &str = "OTEL_";
const DISABLED: &str = "OTEL_SDK_DISABLED";
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const PROTOCOL: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
];
const COMPRESSION: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
    "OTEL_EXPORTER_OTLP_COMPRESSION",
];
const TIMEOUT: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
];
const CERTIFICATE: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
];
const QUEUE: [&str; 1] = ["OTEL_BSP_MAX_QUEUE_SIZE"];
const SAMPLER: [&str; 1] = ["OTEL_TRACES_SAMPLER"];
const SAMPLER_ARG: [&str; 1] = ["OTEL_TRACES_SAMPLER_ARG"];

/// Where the collector is if nobody says it, and its path of traces.
const USUAL_ENDPOINT: &str = "http://localhost:4318";
const PATH: &str = "v1/traces";
const USUAL_TIMEOUT_MS: u64 = 10_000;
const USUAL_QUEUE: u64 = 2_048;
/// Those that decide by a share, and those that do not.
const RATIO_SAMPLERS: [&str; 2] = ["traceidratio", "parentbased_traceidratio"];
const SAMPLERS: [&str; 4] = [
    "always_on",
    "always_off",
    "parentbased_always_on",
    "parentbased_always_off",
];

/// Where traces go.
#[derive(Debug, Clone)]
pub struct Traces {
    /// The whole URL. It may hold a key.
    pub endpoint: SecretText,
    /// How long the collector may take to answer.
    pub timeout: Duration,
    /// How many spans may wait for it.
    pub queue: usize,
    /// Further certificate authorities, PEM.
    pub ca_file: Option<PathBuf>,
}

/// The variables; an empty one is as good as none.
struct Variables<'a>(&'a BTreeMap<String, String>);

/// Reads them. `None`: no traces.
pub(super) fn read(environment: &BTreeMap<String, String>) -> Result<Option<Traces>, ConfigError> {
    let variables = Variables(environment);
    let Some(endpoint) = variables.endpoint()? else {
        return Ok(None);
    };
    variables.check_protocol()?;
    variables.check_sampler()?;
    let timeout = variables.count(&TIMEOUT, USUAL_TIMEOUT_MS)?;
    let queue = variables.count(&QUEUE, USUAL_QUEUE)?;
    Ok(Some(Traces {
        endpoint: SecretText::new(endpoint.to_string()),
        timeout: Duration::from_millis(timeout),
        queue: usize::try_from(queue).unwrap_or(usize::MAX),
        ca_file: variables.first(&CERTIFICATE).map(|(_, path)| path.into()),
    }))
}

impl Variables<'_> {
    /// The first of these that is set.
    fn first(&self, names: &[&'static str]) -> Option<(&'static str, &str)> {
        names.iter().find_map(|name| {
            let value = self.0.get(*name)?.trim();
            (!value.is_empty()).then_some((*name, value))
        })
    }

    fn endpoint(&self) -> Result<Option<Url>, ConfigError> {
        let is_disabled = self.first(&[DISABLED]);
        if is_disabled.is_some_and(|(_, value)| value.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let given = self.first(&[TRACES_ENDPOINT, ENDPOINT]);
        let (name, text) = match (self.first(&[EXPORTER]), given) {
            (Some((_, "otlp")), None) => (ENDPOINT, USUAL_ENDPOINT),
            (None | Some((_, "otlp")), Some(given)) => given,
            // Another exporter is other programs' affair, until somebody says where traces go by OTLP.
            (Some((_, "none")), _) | (_, None) => return Ok(None),
            (Some((name, value)), Some(_)) => {
                return Err(wrong(
                    name,
                    value,
                    "otlp and none are known",
                    "set it to one of them",
                ));
            }
        };
        endpoint_of(name, text).map(Some)
    }

    fn check_protocol(&self) -> Result<(), ConfigError> {
        if let Some((name, value)) = self.first(&PROTOCOL)
            && value != "http/protobuf"
        {
            return Err(wrong(
                name,
                value,
                "Bellhop sends traces as http/protobuf",
                "set OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf, and \
                 OTEL_EXPORTER_OTLP_TRACES_ENDPOINT to the collector's port for HTTP, most often 4318, as in \
                 http://collector:4318/v1/traces; or, for no traces, OTEL_TRACES_EXPORTER=none",
            ));
        }
        if let Some((name, value)) = self.first(&COMPRESSION)
            && value != "none"
        {
            return Err(wrong(
                name,
                value,
                "Bellhop sends traces as they are",
                "set OTEL_EXPORTER_OTLP_TRACES_COMPRESSION=none; every collector takes that",
            ));
        }
        Ok(())
    }

    /// The SDK takes everything for a name that it does not know, and says nothing.
    fn check_sampler(&self) -> Result<(), ConfigError> {
        let Some((name, sampler)) = self.first(&SAMPLER) else {
            return Ok(());
        };
        if RATIO_SAMPLERS.contains(&sampler) {
            let Some((name, share)) = self.first(&SAMPLER_ARG) else {
                return Ok(());
            };
            let is_share = share
                .parse()
                .is_ok_and(|share| (0.0..=1.0).contains(&share));
            let remedy = "0.1 is one trace of ten";
            return is_share
                .then_some(())
                .ok_or_else(|| wrong(name, share, "a share from 0 to 1 is expected", remedy));
        }
        if SAMPLERS.contains(&sampler) {
            return Ok(());
        }
        let known = [&SAMPLERS[..], &RATIO_SAMPLERS[..]].concat().join(", ");
        let remedy = format!("set it to one of {known}");
        Err(wrong(name, sampler, "no sampler has this name", &remedy))
    }

    fn count(&self, names: &[&'static str], usual: u64) -> Result<u64, ConfigError> {
        let Some((name, text)) = self.first(names) else {
            return Ok(usual);
        };
        let parsed = text.parse().ok().filter(|count| *count > 0);
        let remedy = format!("unset it for {usual}");
        parsed.ok_or_else(|| wrong(name, text, "a whole number above 0 is expected", &remedy))
    }
}

/// The one of traces is taken as it is; to the one of all signals the path is added.
fn endpoint_of(name: &'static str, text: &str) -> Result<Url, ConfigError> {
    let refused = |reason: &str, remedy: &str| ConfigError::Traces {
        variable: name,
        reason: reason.to_owned(),
        remedy: remedy.to_owned(),
    };
    let parsed = Url::parse(text).ok();
    let parsed = parsed.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let Some(mut url) = parsed else {
        let remedy = "give the collector's port for HTTP, as in http://collector:4318";
        return Err(refused("is not a URL of http or https", remedy));
    };
    if !url.username().is_empty() || url.password().is_some() {
        let remedy = "move them into OTEL_EXPORTER_OTLP_HEADERS=authorization=Basic%20…, the … being user:password in base64";
        return Err(refused("has a user and a password in it", remedy));
    }
    url.set_fragment(None);
    if name == ENDPOINT {
        let path = format!("{}/{PATH}", url.path().trim_end_matches('/'));
        url.set_path(&path);
    }
    Ok(url)
}

fn wrong(variable: &'static str, value: &str, expected: &str, remedy: &str) -> ConfigError {
    ConfigError::Traces {
        variable,
        reason: format!("is \"{value}\": {expected}"),
        remedy: remedy.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Option<Traces>, ConfigError> {
        let pairs = variables.iter();
        read(
            &pairs
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
        )
    }

    fn endpoint(variables: &[(&str, &str)]) -> Option<String> {
        let traces = of(variables).unwrap();
        traces.map(|traces| traces.endpoint.expose().to_owned())
    }

    #[test]
    fn traces_are_off_unless_the_standard_variables_ask_for_them() {
        for off in [
            &[][..],
            &[("OTEL_SERVICE_NAME", "hotel")],
            &[(ENDPOINT, "")],
            &[(PROTOCOL[1], "grpc")],
            &[(EXPORTER, "console")],
            &[(ENDPOINT, "http://c:4318"), (DISABLED, "TRUE")],
            &[(ENDPOINT, "http://c:4318"), (EXPORTER, "none")],
            &[
                (ENDPOINT, "http://c:4317"),
                (PROTOCOL[1], "grpc"),
                (EXPORTER, "none"),
            ],
        ] {
            assert_eq!(endpoint(off), None, "{off:?}");
        }
    }

    #[test]
    fn the_endpoint_of_all_signals_gets_the_path_of_traces() {
        for (variables, expected) in [
            (
                &[(ENDPOINT, "http://c:4318")][..],
                "http://c:4318/v1/traces",
            ),
            (&[(ENDPOINT, "https://c/otlp/")], "https://c/otlp/v1/traces"),
            (
                &[(TRACES_ENDPOINT, "http://c:4318/here?key=1")],
                "http://c:4318/here?key=1",
            ),
            (
                &[(ENDPOINT, "http://a"), (TRACES_ENDPOINT, "http://b/t")],
                "http://b/t",
            ),
            (&[(EXPORTER, "otlp")], "http://localhost:4318/v1/traces"),
            (
                &[(ENDPOINT, "http://c"), (DISABLED, "false")],
                "http://c/v1/traces",
            ),
        ] {
            assert_eq!(endpoint(variables).as_deref(), Some(expected));
        }
        let traces = of(&[
            (ENDPOINT, "http://c"),
            (TIMEOUT[1], "3000"),
            (QUEUE[0], "7"),
        ]);
        let traces = traces.unwrap().unwrap();
        assert_eq!((traces.timeout, traces.queue), (Duration::from_secs(3), 7));
    }

    #[test]
    fn what_would_send_nothing_is_refused_and_says_what_to_do() {
        let at = (ENDPOINT, "http://c:4317");
        for (variables, says) in [
            (&[at, (PROTOCOL[1], "grpc")][..], "4318"),
            (&[at, (PROTOCOL[0], "http/json")], "http/protobuf"),
            (&[at, (COMPRESSION[1], "gzip")], "COMPRESSION=none"),
            (&[at, (EXPORTER, "console")], "one of them"),
            (&[at, (SAMPLER[0], "some")], "always_on"),
            (
                &[at, (SAMPLER[0], "traceidratio"), (SAMPLER_ARG[0], "10")],
                "one trace of ten",
            ),
            (&[at, (QUEUE[0], "0")], "2048"),
            (&[(ENDPOINT, "collector:4317")], "http://collector:4318"),
            (
                &[(ENDPOINT, "http://me:secret@c:4318")],
                "OTEL_EXPORTER_OTLP_HEADERS",
            ),
        ] {
            let error = of(variables).unwrap_err();
            assert!(error.hint().contains(says), "{error}: {}", error.hint());
            assert!(!format!("{error}{}", error.hint()).contains("secret"));
        }
        // Of the two ways to say it, the one for traces wins.
        let both = [at, (PROTOCOL[0], "http/protobuf"), (PROTOCOL[1], "grpc")];
        assert!(of(&both).unwrap().is_some());
    }
}
