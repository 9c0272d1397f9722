//! States as a sign and a word; the colour is only a third way to say it.

use maud::{Markup, html};

use crate::domain::{
    delivery::{Delivery, DeliveryState},
    health::Circuit,
    integration::State,
    replay::ReplayState,
    webhook::WebhookState,
};

/// Of a delivery. One that is tried again is told from one that was not tried yet.
pub fn delivery(delivery: &Delivery) -> Markup {
    match delivery.state {
        DeliveryState::Pending if delivery.cause.is_some() => mark("warn", RETRY, "Retrying"),
        DeliveryState::Pending if delivery.next_attempt.is_none() => mark("calm", DOTS, "Waiting"),
        DeliveryState::Pending => mark("calm", DOTS, "Pending"),
        DeliveryState::Delivered => mark("good", TICK, "Delivered"),
        DeliveryState::Failed => mark("bad", CROSS, "Failed"),
        DeliveryState::Discarded => mark("quiet", DASH, "Discarded"),
    }
}

/// Of an integration.
pub fn integration(state: State) -> Markup {
    match state {
        State::Enabled => mark("good", TICK, "Enabled"),
        State::Disabled => mark("warn", PAUSE, "Disabled"),
        State::Canceled => mark("warn", CROSS, "Canceled"),
        State::Deleted => mark("quiet", DASH, "Deleted"),
    }
}

/// Of a webhook.
pub fn webhook(state: WebhookState, circuit: Circuit) -> Markup {
    match (state, circuit) {
        (WebhookState::Paused, _) => mark("warn", PAUSE, "Paused"),
        (WebhookState::Disabled, _) => mark("bad", CROSS, "Disabled"),
        (WebhookState::Enabled, Circuit::Closed) => mark("good", TICK, "Enabled"),
        (WebhookState::Enabled, Circuit::Open { .. }) => mark("bad", CROSS, "Circuit open"),
        (WebhookState::Enabled, Circuit::HalfOpen) => mark("warn", RETRY, "Trying again"),
    }
}

/// Of a run.
pub fn replay(state: ReplayState) -> Markup {
    match state {
        ReplayState::Running => mark("calm", DOTS, "Running"),
        ReplayState::Paused => mark("warn", PAUSE, "Paused"),
        ReplayState::Canceled => mark("quiet", DASH, "Canceled"),
        ReplayState::Completed => mark("good", TICK, "Completed"),
    }
}

/// Of an attempt.
pub fn attempt(is_success: bool) -> Markup {
    if is_success {
        mark("good", TICK, "Succeeded")
    } else {
        mark("bad", CROSS, "Failed")
    }
}

/// Good or bad, with any word.
pub fn verdict(is_good: bool, word: &str) -> Markup {
    if is_good {
        mark("good", TICK, word)
    } else {
        mark("bad", CROSS, word)
    }
}

const TICK: &str = "M3 8.5l3.5 3.5L13 4.5";
const CROSS: &str = "M4 4l8 8M12 4l-8 8";
const DASH: &str = "M3.5 8h9";
const PAUSE: &str = "M5.5 3.5v9M10.5 3.5v9";
const DOTS: &str = "M3.5 8h.01M8 8h.01M12.5 8h.01";
const RETRY: &str = "M13 8a5 5 0 1 1-1.6-3.7M13 2.5v3h-3";

fn mark(kind: &str, path: &str, word: &str) -> Markup {
    html! {
        span.mark.(kind) {
            svg viewBox="0 0 16 16" aria-hidden="true" focusable="false" { path d=(path) {} }
            (word)
        }
    }
}
