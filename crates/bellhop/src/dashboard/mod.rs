//! The dashboard: pages for people, on the API's own listener.
//!
//! A request meets, in this order: the route (`routes`), the session (`session`), its page or its command, and the frame
//! around it (`components::frame`). Pages read the store, within what the viewer may see (`seen`). Commands are requests to
//! the API, made within the process (`ask`): what the API refuses, the dashboard refuses in the same words. Everything works
//! without JavaScript but the live tail.

mod answer;
mod ask;
mod assets;
mod components;
mod events;
mod form;
mod pages;
mod routes;
mod seen;
mod session;
mod sign_in;
mod state;
mod visit;
mod wrong;

pub use routes::router;
pub use session::LINK_PATH;
pub use state::{DashboardOptions, DashboardState, KnowsKeys};

use answer::{Done, Page};
use visit::Visit;
use wrong::Wrong;
