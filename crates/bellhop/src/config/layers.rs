//! The layers that settings come from, merged: defaults, file, environment, flags.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use figment::{
    Figment, Metadata, Profile, Provider,
    providers::{Format, Toml},
    value::{Dict, Map, Value},
};

use super::{
    ConfigError, Origin,
    problem::UnknownName,
    setting::{OTHER_VARIABLES, Setting, flag, variable},
    traces,
};

/// What the defaults are; the file is their documentation too.
const DEFAULTS: &str = include_str!("../../../../bellhop.default.toml");
/// The file that is read when no other is named.
const USUAL_FILE: &str = "bellhop.toml";
const PREFIX: &str = "BELLHOP_";
/// How alike a known name must be to be suggested, from 0 to 1.
const LIKENESS: f64 = 0.8;

/// Everything that a configuration is made from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Names of settings with the values that flags gave them.
    pub flags: Vec<(&'static str, String)>,
    /// The environment.
    pub environment: BTreeMap<String, String>,
    /// The file that a flag named.
    pub file: Option<PathBuf>,
    /// Where the usual file is looked for; nowhere if `None`.
    pub directory: Option<PathBuf>,
}

impl Sources {
    /// The environment of this process and `bellhop.toml` in the current directory, beneath these flags.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where settings are read from the environment, once"
    )]
    pub fn of_process(flags: Vec<(&'static str, String)>, file: Option<PathBuf>) -> Self {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| {
                let name = name.into_string().ok()?;
                let is_ours = name.starts_with(PREFIX) || name.starts_with(traces::PREFIX);
                is_ours.then(|| (name, value.to_string_lossy().into_owned()))
            })
            .collect();
        Self {
            flags,
            environment,
            file,
            directory: Some(PathBuf::from(".")),
        }
    }

    /// Nothing but the defaults and these values.
    pub fn of_flags(flags: Vec<(&'static str, String)>) -> Self {
        Self {
            flags,
            ..Self::default()
        }
    }

    /// The configuration file, if there is one: a named one must exist, the usual one need not.
    fn find_file(&self) -> Option<(PathBuf, bool)> {
        let named = self
            .file
            .clone()
            .or_else(|| self.environment.get("BELLHOP_CONFIG").map(PathBuf::from));
        match (named, &self.directory) {
            (Some(path), _) => Some((path, true)),
            (None, Some(directory)) if directory == Path::new(".") => {
                Some((PathBuf::from(USUAL_FILE), false))
            }
            (None, Some(directory)) => Some((directory.join(USUAL_FILE), false)),
            (None, None) => None,
        }
    }
}

/// The merged layers.
#[derive(Debug)]
pub(super) struct Layers {
    merged: Figment,
    file: Option<File>,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    text: String,
}

/// One layer's values; `name` comes back as the metadata of each.
struct Layer {
    name: &'static str,
    values: Dict,
}

const FROM_DEFAULT: &str = "default";
const FROM_FILE: &str = "file";
const FROM_ENVIRONMENT: &str = "environment";
const FROM_FLAG: &str = "flag";

impl Layers {
    /// Reads and merges, and refuses names that no setting has.
    pub(super) fn read(sources: &Sources) -> Result<Self, ConfigError> {
        for (name, _) in &sources.flags {
            if Setting::find(name).is_none_or(|setting| setting.is_secret) {
                return Err(ConfigError::SecretFlag((*name).to_owned()));
            }
        }
        let file = read_file(sources)?;
        let file_values = match &file {
            Some(file) => parse(&file.path, &file.text)?,
            None => Dict::new(),
        };
        let unknown: Vec<_> = unknown_in_file(file.as_ref(), &file_values)
            .chain(unknown_in_environment(&sources.environment))
            .collect();
        if !unknown.is_empty() {
            return Err(ConfigError::Unknown(unknown));
        }
        let layer = |name, values| Layer { name, values };
        let merged = Figment::new()
            .merge(layer(
                FROM_DEFAULT,
                parse(Path::new("bellhop.default.toml"), DEFAULTS)?,
            ))
            .merge(layer(FROM_FILE, file_values))
            .merge(layer(
                FROM_ENVIRONMENT,
                from_environment(&sources.environment),
            ))
            .merge(layer(
                FROM_FLAG,
                texts(sources.flags.iter().map(|(name, text)| (*name, text))),
            ));
        Ok(Self { merged, file })
    }

    /// The text of a setting and where it came from; `None` if nothing sets it.
    pub(super) fn get(&self, name: &str) -> Result<Option<(String, Origin)>, ConfigError> {
        let Ok(value) = self.merged.find_value(name) else {
            return Ok(None);
        };
        let layer = self
            .merged
            .get_metadata(value.tag())
            .map_or(FROM_DEFAULT, |metadata| match metadata.name.as_ref() {
                FROM_FILE => FROM_FILE,
                FROM_ENVIRONMENT => FROM_ENVIRONMENT,
                FROM_FLAG => FROM_FLAG,
                _ => FROM_DEFAULT,
            });
        let origin = match layer {
            FROM_FILE => self
                .file
                .as_ref()
                .map_or(Origin::Default, |file| file.origin(name)),
            FROM_ENVIRONMENT => Origin::Environment(variable(name)),
            FROM_FLAG => Origin::Flag(flag(name)),
            _ => Origin::Default,
        };
        match text_of(&value) {
            Some(text) => Ok(Some((text, origin))),
            None => Err(ConfigError::Value {
                setting: name.to_owned(),
                value: value.to_actual().to_string(),
                origin,
                allowed: "a text, a number or a list of them is expected".to_owned(),
            }),
        }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Map::from([(Profile::Default, self.values.clone())]))
    }
}

impl File {
    fn origin(&self, name: &str) -> Origin {
        let sets = |line: &str| {
            line.trim_start()
                .strip_prefix(name)
                .is_some_and(|rest| rest.trim_start().starts_with('='))
        };
        Origin::File {
            path: self.path.clone(),
            line: self.text.lines().position(sets).map(|index| index + 1),
        }
    }
}

fn read_file(sources: &Sources) -> Result<Option<File>, ConfigError> {
    let Some((path, must_exist)) = sources.find_file() else {
        return Ok(None);
    };
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(File { path, text })),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => Ok(None),
        Err(error) => Err(ConfigError::File {
            doing: "read",
            path,
            reason: error.to_string(),
        }),
    }
}

fn parse(path: &Path, text: &str) -> Result<Dict, ConfigError> {
    Toml::from_str(text).map_err(|error: <Toml as Format>::Error| ConfigError::Syntax {
        path: path.to_owned(),
        // Its Display quotes the line, in which a secret may be.
        reason: match error.span() {
            Some(span) => {
                let line = text[..span.start].lines().count().max(1);
                format!("line {line}: {}", error.message())
            }
            None => error.message().to_owned(),
        },
    })
}

fn from_environment(environment: &BTreeMap<String, String>) -> Dict {
    let known = Setting::known_names().filter_map(|name| {
        let value = environment.get(&variable(&name))?;
        Some((name, Value::from(value.as_str())))
    });
    known.collect()
}

fn texts<'a>(pairs: impl Iterator<Item = (&'a str, &'a String)>) -> Dict {
    pairs
        .map(|(name, text)| (name.to_owned(), Value::from(text.as_str())))
        .collect()
}

fn unknown_in_file<'a>(
    file: Option<&'a File>,
    values: &'a Dict,
) -> impl Iterator<Item = UnknownName> + 'a {
    let known: Vec<_> = Setting::known_names().collect();
    values.keys().filter_map(move |name| {
        let is_unknown = !known.contains(name);
        is_unknown.then(|| UnknownName {
            name: name.clone(),
            origin: file.map_or(Origin::Default, |file| file.origin(name)),
            meant: most_alike(name, known.iter().cloned()),
        })
    })
}

fn unknown_in_environment(
    environment: &BTreeMap<String, String>,
) -> impl Iterator<Item = UnknownName> {
    let known: Vec<_> = Setting::known_names()
        .map(|name| variable(&name))
        .chain(OTHER_VARIABLES.map(str::to_owned))
        .collect();
    environment.keys().filter_map(move |name| {
        let is_unknown = name.starts_with(PREFIX) && !known.contains(name);
        is_unknown.then(|| UnknownName {
            name: name.clone(),
            origin: Origin::Environment(name.clone()),
            meant: most_alike(name, known.iter().cloned()),
        })
    })
}

fn most_alike(name: &str, known: impl Iterator<Item = String>) -> Option<String> {
    let bare = |text: &str| text.trim_start_matches(PREFIX).to_ascii_lowercase();
    known
        .map(|candidate| {
            let likeness = strsim::jaro_winkler(&bare(name), &bare(&candidate));
            (likeness, candidate)
        })
        .filter(|(likeness, _)| *likeness >= LIKENESS)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate)
}

/// A scalar as text, a list as texts with commas between; `None` for a table.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(_, text) => Some(text.clone()),
        Value::Char(_, one) => Some(one.to_string()),
        Value::Bool(_, flag) => Some(flag.to_string()),
        Value::Num(_, number) => number
            .to_u128()
            .map(|n| n.to_string())
            .or_else(|| number.to_i128().map(|n| n.to_string()))
            .or_else(|| number.to_f64().map(|n| n.to_string())),
        Value::Array(_, items) => {
            let texts: Option<Vec<_>> = items.iter().map(text_of).collect();
            texts.map(|texts| texts.join(", "))
        }
        Value::Empty(..) | Value::Dict(..) => None,
    }
}
