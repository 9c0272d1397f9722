//! The bodies, byte for byte. The files were written by hand from the
//! contract; the crate must make exactly them.

use bellhop_webhook::{
    AccessTokenText, Action, Enterprise, Integration, IntegrationApiKeyCreated, IntegrationChanged,
    IntegrationCreated, IntegrationDeleted, Message, ParseError, Requestor, Service, UtcSecond,
};
use uuid::{Uuid, uuid};

const TOKEN: &str = "9E5E84E9974D4F169662AB2200F27CB1-00B343A0DDA725CACAC028E38E3EABF";

/// The sample of the contract, as it stands there.
const CONTRACT_SAMPLE: &str = r#"{
    "Action": "IntegrationCreated",
    "Data": {
        "Enterprise": {
            "Id": "8865aa96-f62d-4f9b-a912-ab2100f60f42",
            "Name": "Sample Chain Hotel 1"
        },
        "Requestor": null,
        "AccessToken":"9E5E84E9974D4F169662AB2200F27CB1-00B343A0DDA725CACAC028E38E3EABF",
        "CreatedUtc": "2019-12-13T14:42:52Z",
        "IsEnabled": true,
        "Integration": {
            "Id": "9e5e84e9-974d-4f16-9662-ab2200f27cb1",
            "Name": "WebhookTEST"
        }
    }
}
"#;

macro_rules! golden {
    ($name:literal) => {
        include_bytes!(concat!("../golden/", $name, ".json"))
    };
}

fn integration() -> Integration {
    Integration {
        id: uuid!("9e5e84e9-974d-4f16-9662-ab2200f27cb1"),
        name: "WebhookTEST".into(),
    }
}

fn utc(text: &str) -> UtcSecond {
    text.parse().unwrap()
}

fn created(service: Option<Service>, requestor: Option<Requestor>) -> Message {
    Message::IntegrationCreated(IntegrationCreated {
        enterprise: Enterprise {
            id: uuid!("8865aa96-f62d-4f9b-a912-ab2100f60f42"),
            name: "Sample Chain Hotel 1".into(),
        },
        service,
        requestor,
        access_token: AccessTokenText::new(TOKEN),
        created_utc: utc("2019-12-13T14:42:52Z"),
        is_enabled: true,
        integration: integration(),
    })
}

fn changed(make: fn(IntegrationChanged) -> Message) -> Message {
    make(IntegrationChanged {
        integration: integration(),
    })
}

fn all() -> Vec<(Message, &'static [u8])> {
    let requestor = Requestor {
        name: "Zoë \"Z\" O’Neil".into(),
        email: "zoe@example.com".into(),
    };
    let service = Service {
        id: uuid!("bd26d8db-86da-4f96-9efc-e5a4654a4a94"),
        name: "Rooms".into(),
    };
    let deleted = Message::IntegrationDeleted(IntegrationDeleted {
        deleted_utc: utc("2020-02-29T23:59:59Z"),
        integration: integration(),
    });
    let api_key = Message::IntegrationApiKeyCreated(IntegrationApiKeyCreated {
        integration: integration(),
        api_key: AccessTokenText::new(
            "9E5E84E9974D4F169662AB2200F27CB1-1C0FFEE1C0FFEE1C0FFEE1C0FFEE1C0",
        ),
    });
    vec![
        (created(None, None), golden!("integration-created")),
        (
            created(None, Some(requestor)),
            golden!("integration-created-requestor"),
        ),
        (
            created(Some(service), None),
            golden!("integration-created-service"),
        ),
        (
            changed(Message::IntegrationEnabled),
            golden!("integration-enabled"),
        ),
        (
            changed(Message::IntegrationDisabled),
            golden!("integration-disabled"),
        ),
        (
            changed(Message::IntegrationCanceled),
            golden!("integration-canceled"),
        ),
        (
            changed(Message::IntegrationReinstated),
            golden!("integration-reinstated"),
        ),
        (deleted, golden!("integration-deleted")),
        (api_key, golden!("integration-api-key-created")),
    ]
}

#[test]
fn every_message_is_its_golden_file() {
    for (message, file) in all() {
        let bytes = message.to_bytes();
        assert_eq!(
            String::from_utf8_lossy(&bytes),
            String::from_utf8_lossy(file),
        );
        assert_eq!(bytes, file);
        assert_eq!(Message::parse(file).unwrap(), message);
    }
}

#[test]
fn every_action_has_a_golden_file() {
    let actions: Vec<_> = all().iter().map(|(message, _)| message.action()).collect();
    for action in Action::ALL {
        assert!(actions.contains(&action), "{action}");
    }
}

#[test]
fn the_contracts_sample_comes_back_as_the_same_compact_bytes() {
    let message = Message::parse(CONTRACT_SAMPLE.as_bytes()).unwrap();
    // No text of the sample other than the two names has a space in it.
    let compact = CONTRACT_SAMPLE
        .replace(char::is_whitespace, "")
        .replace("SampleChainHotel1", "Sample Chain Hotel 1");
    assert_eq!(message.to_bytes(), compact.as_bytes());
    assert_eq!(message.to_bytes(), golden!("integration-created"));
}

#[test]
fn times_are_cut_to_the_second() {
    assert_eq!(
        utc("2019-12-13T14:42:52.999999999Z").to_string(),
        "2019-12-13T14:42:52Z"
    );
    assert_eq!(
        utc("2019-12-13T15:42:52.5+01:00").to_string(),
        "2019-12-13T14:42:52Z"
    );
    assert_eq!(
        utc("1969-12-31T23:59:58.5Z").to_string(),
        "1969-12-31T23:59:58Z"
    );
}

#[test]
fn receivers_survive_additions_to_the_contract() {
    let body = br#"{"Version":2,"Data":{"Integration":{"Region":"EU","Name":"N",
        "Id":"9E5E84E9-974D-4F16-9662-AB2200F27CB1"},"More":[1,{}]},"Action":"IntegrationEnabled"}"#;
    let message = Message::parse(body).unwrap();
    assert_eq!(message.action(), Action::IntegrationEnabled);
    assert_eq!(message.integration().name, "N");
    assert_eq!(message.integration().id, integration().id);
    assert_ne!(message.integration().id, Uuid::nil());
}

#[test]
fn neither_debug_nor_an_error_shows_the_access_token() {
    for (message, _) in all() {
        let shown = format!("{message:?} {message:#?}");
        assert!(
            !shown.contains("00B343A0") && !shown.contains("1C0FFEE"),
            "{shown}"
        );
    }
    let swapped = CONTRACT_SAMPLE
        .replace("\"2019-12-13T14:42:52Z\"", "true")
        .replace(
            "\"IsEnabled\": true",
            &format!("\"IsEnabled\": \"{TOKEN}\""),
        );
    for body in [
        swapped,
        CONTRACT_SAMPLE.replace("\"AccessToken\":", "\"CreatedUtc\":"),
    ] {
        let error = Message::parse(body.as_bytes()).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("00B343A0"), "{shown}");
    }
}

#[test]
fn bodies_that_are_no_message_say_why() {
    let parse = |body: &str| Message::parse(body.as_bytes()).unwrap_err();
    assert_eq!(
        parse("{\"Action\":"),
        ParseError::NotJson {
            line: 1,
            column: 10
        }
    );
    assert!(matches!(parse("\u{FEFF}{}"), ParseError::NotJson { .. }));
    assert!(matches!(
        parse(&"[".repeat(100_000)),
        ParseError::NotJson { .. }
    ));
    for body in [
        "[]",
        "{}",
        "null",
        "{\"action\":\"IntegrationEnabled\"}",
        "{\"Action\":7}",
    ] {
        assert_eq!(parse(body), ParseError::NoAction, "{body}");
    }
    assert_eq!(
        parse("{\"Action\":\"IntegrationPaused\",\"Data\":{}}"),
        ParseError::UnknownAction("IntegrationPaused".into()),
    );
    let error = parse("{\"Action\":\"IntegrationEnabled\",\"Data\":{}}");
    assert_eq!(
        error.to_string(),
        "the data of IntegrationEnabled is not as the contract says: \
         missing member `Integration` at line 1 column 40",
    );
    let null_time = r#"{"Action":"IntegrationDeleted","Data":{"DeletedUtc":null,"Integration":
        {"Id":"9e5e84e9-974d-4f16-9662-ab2200f27cb1","Name":"N"}}}"#;
    assert!(matches!(
        parse(null_time),
        ParseError::Data {
            action: Action::IntegrationDeleted,
            ..
        },
    ));
}
