//! Who may do what: the one table. What an application's key sees is narrowed further in the handlers, to its
//! own things.

use crate::domain::api_key::Scope;

/// Makes the enum, its names and its accesses from one table, so that an operation cannot exist without a rule.
macro_rules! operations {
    ($($access:ident: $($name:ident)+;)+) => {
        /// What a route does.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Operation {
            $($(#[doc = stringify!($name)] $name,)+)+
        }

        impl Operation {
            /// Every operation.
            pub const ALL: &[Self] = &[$($(Self::$name,)+)+];

            /// Its name.
            pub const fn as_str(self) -> &'static str {
                match self { $($(Self::$name => stringify!($name),)+)+ }
            }

            /// Who may do it.
            pub const fn access(self) -> Access {
                match self { $($(Self::$name)|+ => Access::$access,)+ }
            }
        }
    };
}

operations! {
    Public:
        ReadPublicKeys Live Ready ReadMetrics ReadOpenApi ReadDocs ReadDocsStyle ReadProblem;
    Operator:
        PutEnterprise GetEnterprise ListEnterprises
        CreateApplication UpdateApplication
        CreateIntegration EnableIntegration DisableIntegration CancelIntegration ReinstateIntegration
        DeleteIntegration RegenerateAccessToken
        ListOperationalMessages ListAudit
        CreateKey ListKeys RotateKey DeleteKey;
    Application:
        GetApplication ListApplications
        CreateWebhook ListApplicationWebhooks ListWebhooks GetWebhook UpdateWebhook DeleteWebhook
        PauseWebhook ResumeWebhook TestWebhook RotateSecret BackfillWebhook
        GetIntegration ListIntegrations ListMessages
        ListDeliveries GetDelivery ReplayDelivery DiscardDelivery RevealDelivery StreamEvents
        StartReplay ListReplays GetReplay PauseReplay ResumeReplay CancelReplay;
    Introspection:
        IntrospectAccessToken;
}

/// Who may do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody, without a key.
    Public,
    /// The operator alone.
    Operator,
    /// The operator, and an application with its own things.
    Application,
    /// The operator, and a gateway that introspects.
    Introspection,
}

impl Access {
    /// Whether a key of this scope may.
    pub const fn allows(self, scope: Scope) -> bool {
        matches!(
            (self, scope),
            (Self::Public, _)
                | (_, Scope::Operator)
                | (Self::Application, Scope::Application(_))
                | (Self::Introspection, Scope::Introspect)
        )
    }

    /// The scopes that may, for people.
    pub const fn scopes(self) -> &'static [&'static str] {
        match self {
            Self::Public => &[],
            Self::Operator => &["operator"],
            Self::Application => &["operator", "application"],
            Self::Introspection => &["operator", "introspect"],
        }
    }
}
