//! Small objects that requests and answers share.

use bellhop_webhook::{Requestor, Service};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeMap};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{body::Object, checks::Checks};

/// Longest e-mail address (RFC 5321 section 4.5.3.1.3, without the angle brackets).
pub const MAX_EMAIL: usize = 254;

/// The person who asks for the action.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
#[schema(as = RequestorInput)]
pub struct RequestorInput {
    /// The person's name.
    #[schema(required, value_type = String)]
    name: Option<String>,
    /// The person's e-mail address.
    #[schema(required, value_type = String)]
    email: Option<String>,
}

/// The service of the enterprise that is connected (profile `2025`).
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct ServiceInput {
    /// Its id.
    #[schema(required, value_type = Uuid)]
    id: Option<Uuid>,
    /// Its name.
    #[schema(required, value_type = String)]
    name: Option<String>,
}

/// The person who asked for an action, as answers show it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RequestorObject {
    /// The person's name.
    pub name: String,
    /// The person's e-mail address.
    pub email: String,
}

/// The service, as answers show it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ServiceObject {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
}

/// Headers as an object, in the order in which they were given. Debug shows no values.
#[derive(Clone, Default)]
pub struct Headers(pub Vec<(String, String)>);

/// Checks a requestor, if there is one.
pub fn requestor(checks: &mut Checks, given: Option<Object<RequestorInput>>) -> Option<Requestor> {
    let Object(given) = given?;
    let name = checks.name("/Requestor/Name", given.name);
    let has_email = given.email.is_some();
    let email = checks.required("/Requestor/Email", given.email);
    if has_email {
        checks.text("/Requestor/Email", &email, 1, MAX_EMAIL);
    }
    Some(Requestor { name, email })
}

/// Checks a service, if there is one.
pub fn service(checks: &mut Checks, given: Option<Object<ServiceInput>>) -> Option<Service> {
    let Object(given) = given?;
    Some(Service {
        id: checks.required("/Service/Id", given.id),
        name: checks.name("/Service/Name", given.name),
    })
}

impl From<Requestor> for RequestorObject {
    fn from(requestor: Requestor) -> Self {
        Self {
            name: requestor.name,
            email: requestor.email,
        }
    }
}

impl From<Service> for ServiceObject {
    fn from(service: Service) -> Self {
        Self {
            id: service.id,
            name: service.name,
        }
    }
}

impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Headers;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of header names and values")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Headers, A::Error> {
                let mut headers: Vec<(String, String)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, String>()? {
                    if headers.iter().any(|(other, _)| *other == name) {
                        return Err(de::Error::custom("duplicate header"));
                    }
                    headers.push((name, value));
                }
                Ok(Headers(headers))
            }
        }

        deserializer.deserialize_map(Visitor)
    }
}

impl std::fmt::Debug for Headers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}
