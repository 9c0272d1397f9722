//! The receiving side of webhooks, to try things out: what a receiver makes of a request, how it behaves, and why a
//! signature does not match. `bellhop receive` and `bellhop demo` listen on loopback with it; the dashboard's built-in
//! receiver ([`Play`]) listens nowhere.

mod behaviour;
mod desk;
mod mask;
mod order;
mod play;
mod received;
mod request_head;

pub use behaviour::{Behaviour, BehaviourError, SYNTAX};
pub use desk::{Answered, Desk, Hangup, answer_as, said};
pub use mask::masked;
pub use order::Order;
pub use play::{Caught, MOST_REQUESTS, PLAY_URL, Play, Receiver};
pub use received::{Answer, Received, Signature};
pub use request_head::{GivenSecret, RequestHead, When, explain_request};
