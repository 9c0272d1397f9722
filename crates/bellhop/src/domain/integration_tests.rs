//! Every state × every command, as a table.

use super::*;

const ENTERPRISE: &str = "Sample Chain Hotel 1";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_576_248_172 + second).unwrap()
}

fn new_integration(is_enabled: bool) -> NewIntegration {
    let id: IntegrationId = "9e5e84e9-974d-4f16-9662-ab2200f27cb1".parse().unwrap();
    NewIntegration {
        id,
        application_id: "0190b6a2-0000-7000-8000-000000000001".parse().unwrap(),
        enterprise_id: "8865aa96-f62d-4f9b-a912-ab2100f60f42".parse().unwrap(),
        name: "WebhookTEST".into(),
        is_enabled,
        service: None,
        access_token: SecretText::new(
            "9E5E84E9974D4F169662AB2200F27CB1-00B343A0DDA725CACAC028E38E3EABF",
        ),
    }
}

fn in_state(state: State, is_enabled: bool) -> Integration {
    let created = new_integration(is_enabled)
        .create(ENTERPRISE, None, at(0))
        .integration;
    match state {
        State::Enabled | State::Disabled => created,
        State::Canceled => Integration {
            canceled: Some(at(1)),
            ..created
        },
        State::Deleted => Integration {
            deleted: Some(at(1)),
            tokens: None,
            ..created
        },
    }
}

fn command(name: CommandName) -> Command {
    match name {
        CommandName::Enable => Command::Enable,
        CommandName::Disable => Command::Disable,
        CommandName::Cancel => Command::Cancel,
        CommandName::Reinstate => Command::Reinstate,
        CommandName::Delete => Command::Delete,
        CommandName::RegenerateAccessToken => Command::RegenerateAccessToken {
            token: SecretText::new("new"),
            overlap_until: at(86_400),
        },
    }
}

#[test]
fn every_state_answers_every_command_as_the_design_says() {
    use CommandName as N;
    use State as S;
    const COMMANDS: [N; 6] = [
        N::Enable,
        N::Disable,
        N::Cancel,
        N::Reinstate,
        N::Delete,
        N::RegenerateAccessToken,
    ];
    // For each start (state and kept flag): what each command of COMMANDS comes to.
    // "=" unchanged, "!" refused, else the state after.
    let table: [(S, bool, [&str; 6]); 6] = [
        (
            S::Enabled,
            true,
            ["=", "Disabled", "Canceled", "=", "Deleted", "Enabled"],
        ),
        (
            S::Disabled,
            false,
            ["Enabled", "=", "Canceled", "=", "Deleted", "Disabled"],
        ),
        (
            S::Canceled,
            true,
            ["!", "!", "=", "Enabled", "Deleted", "Canceled"],
        ),
        (
            S::Canceled,
            false,
            ["!", "!", "=", "Disabled", "Deleted", "Canceled"],
        ),
        (S::Deleted, true, ["!", "!", "!", "!", "=", "!"]),
        (S::Deleted, false, ["!", "!", "!", "!", "=", "!"]),
    ];
    for (state, flag, expected) in table {
        let before = in_state(state, flag);
        assert_eq!(before.state(), state);
        for (name, expected) in COMMANDS.into_iter().zip(expected) {
            let came_to = match before.apply(&command(name), None, at(9)) {
                Ok(Decision::Unchanged) => "=",
                Err(refused) => {
                    assert_eq!(
                        refused,
                        Refused {
                            state,
                            command: name
                        }
                    );
                    "!"
                }
                Ok(Decision::Changed(change)) => {
                    assert_eq!(change.integration.sequence, before.sequence + 1);
                    assert_eq!(change.message.sequence, before.sequence + 1);
                    assert!(state.allowed().contains(&name));
                    change.integration.state().as_str()
                }
            };
            assert_eq!(came_to, expected, "{state:?} {flag} {name:?}");
            assert_eq!(
                state.allowed().contains(&name),
                !matches!(came_to, "=" | "!"),
                "{state:?} {name:?}"
            );
        }
    }
}

#[test]
fn each_action_has_the_contracts_bytes() {
    let created = new_integration(true).create(ENTERPRISE, None, at(0));
    let contract = concat!(
        r#"{"Action":"IntegrationCreated","Data":{"Enterprise":{"Id":"8865aa96-f62d-4f9b-a912-ab2100f60f42","#,
        r#""Name":"Sample Chain Hotel 1"},"Requestor":null,"#,
        r#""AccessToken":"9E5E84E9974D4F169662AB2200F27CB1-00B343A0DDA725CACAC028E38E3EABF","#,
        r#""CreatedUtc":"2019-12-13T14:42:52Z","IsEnabled":true,"#,
        r#""Integration":{"Id":"9e5e84e9-974d-4f16-9662-ab2200f27cb1","Name":"WebhookTEST"}}}"#,
    );
    assert_eq!(
        std::str::from_utf8(&created.message.body.bytes).unwrap(),
        contract
    );

    let data =
        r#""Integration":{"Id":"9e5e84e9-974d-4f16-9662-ab2200f27cb1","Name":"WebhookTEST"}}}"#;
    let told = [
        (
            State::Disabled,
            CommandName::Enable,
            r#"{"Action":"IntegrationEnabled","Data":{"#,
        ),
        (
            State::Enabled,
            CommandName::Disable,
            r#"{"Action":"IntegrationDisabled","Data":{"#,
        ),
        (
            State::Enabled,
            CommandName::Cancel,
            r#"{"Action":"IntegrationCanceled","Data":{"#,
        ),
        (
            State::Canceled,
            CommandName::Reinstate,
            r#"{"Action":"IntegrationReinstated","Data":{"#,
        ),
        (
            State::Enabled,
            CommandName::Delete,
            r#"{"Action":"IntegrationDeleted","Data":{"DeletedUtc":"2019-12-13T14:43:01Z","#,
        ),
    ];
    for (state, name, start) in told {
        let before = in_state(state, state != State::Disabled);
        let Ok(Decision::Changed(change)) = before.apply(&command(name), None, at(9)) else {
            panic!("{state:?} takes {name:?}");
        };
        assert_eq!(
            std::str::from_utf8(&change.message.body.bytes).unwrap(),
            format!("{start}{data}")
        );
    }
}

#[test]
fn a_service_is_in_the_body_of_profile_2025_alone() {
    let service = Service {
        id: uuid::Uuid::nil(),
        name: "Hotel".into(),
    };
    let change = NewIntegration {
        service: Some(service),
        ..new_integration(true)
    }
    .create(ENTERPRISE, None, at(0));
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    assert!(!text(&change.message.body.bytes).contains("Service"));
    let with = text(change.message.body.bytes_2025.as_deref().unwrap());
    assert!(with.contains(r#"},"Service":{"Id":"00000000-0000-0000-0000-000000000000","Name":"Hotel"},"Requestor":null"#));
}

#[test]
fn a_deleted_integration_keeps_no_token() {
    let before = in_state(State::Enabled, true);
    let Ok(Decision::Changed(change)) = before.apply(&Command::Delete, None, at(9)) else {
        panic!()
    };
    assert_eq!(change.integration.tokens, None);
}

#[test]
fn no_debug_output_shows_a_token() {
    let new = new_integration(true);
    let shown = format!("{new:?} {:?}", new.create(ENTERPRISE, None, at(0)));
    assert!(
        !shown.contains("00B343A0DDA725CACAC028E38E3EABF"),
        "{shown}"
    );
}
