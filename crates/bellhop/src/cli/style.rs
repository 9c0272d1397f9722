//! Colours. Each only repeats what the text says, and they are left out where there is no terminal or `NO_COLOR` is set
//! (anstream sees to that).

use anstyle::{AnsiColor, Style};
use clap::builder::Styles;

/// Before the cause of a failure.
pub const ERROR: Style = AnsiColor::Red.on_default().bold();
/// Before the next thing to do.
pub const HINT: Style = AnsiColor::Cyan.on_default().bold();
/// As it should be.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// As it should not be.
pub const BAD: Style = AnsiColor::Red.on_default();
/// Worth a look.
pub const WARN: Style = AnsiColor::Yellow.on_default();
/// Less important than what stands beside it.
pub const DIM: Style = Style::new().dimmed();
/// A heading.
pub const HEAD: Style = Style::new().bold();

/// The same in help texts.
pub const HELP: Styles = Styles::styled()
    .header(HEAD)
    .usage(HEAD)
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(DIM);
