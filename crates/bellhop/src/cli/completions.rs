//! `bellhop completions` and `bellhop man`.

use std::io::{self, Write as _};

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, Failure};

/// Print a shell's script for completing commands and flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bellhop completions bash > ~/.local/share/bash-completion/completions/bellhop
  bellhop completions zsh > ~/.zfunc/_bellhop
  bellhop completions fish > ~/.config/fish/completions/bellhop.fish")]
pub struct Args {
    /// Which shell.
    shell: Shell,
}

/// Prints the script.
pub fn run(args: &Args) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "bellhop", &mut script);
    Ok(io::stdout().write_all(&script)?)
}

/// Print the manual page.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bellhop man | man -l -
  bellhop man > /usr/local/share/man/man1/bellhop.1")]
pub struct ManArgs {}

/// Prints the manual page, with the sections of all commands.
pub fn man() -> Result<(), Failure> {
    let mut page = Vec::new();
    let mut command = Cli::command();
    command.build();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    sections(&mut page, &command, "")?;
    Ok(io::stdout().write_all(&page)?)
}

/// A section for each command, and for each command of it.
fn sections(page: &mut Vec<u8>, command: &clap::Command, before: &str) -> io::Result<()> {
    for part in command.get_subcommands() {
        if part.get_name() == "help" {
            continue;
        }
        let title = format!("{before}{}", part.get_name().to_uppercase());
        writeln!(page, ".SH \"COMMAND {title}\"")?;
        let man = clap_mangen::Man::new(part.clone());
        man.render_synopsis_section(page)?;
        man.render_description_section(page)?;
        man.render_options_section(page)?;
        sections(page, part, &format!("{title} "))?;
    }
    Ok(())
}
