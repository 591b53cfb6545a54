//! parse -> plan -> run -> exit status. Data goes to stdout, all else to stderr.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use labelmill::cli::{Cli, Command, LogFormat, MessageArgs};
use labelmill::exit::{ExitStatus, UsageError};
use labelmill::{commands, doctor, inspect};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, not errors.
            let status = if error.use_stderr() {
                ExitStatus::Usage
            } else {
                ExitStatus::Done
            };
            let _ = error.print();
            return status.into();
        }
    };
    start_log(&cli.messages);
    match dispatch(&cli) {
        Ok(status) => status.into(),
        Err(error) if is_broken_pipe(&error) => ExitStatus::Done.into(),
        Err(error) => {
            tracing::error!("{error:#}");
            status_of(&error).into()
        }
    }
}

fn dispatch(cli: &Cli) -> anyhow::Result<ExitStatus> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let status = match &cli.command {
        Command::Run(args) => commands::run(args, &cli.messages),
        Command::Plan(args) => commands::plan(args, &mut out),
        Command::Inspect(args) if args.interrogate => commands::look(args, &mut out),
        Command::Inspect(args) => inspect::inspect(args, &mut out).map(|()| ExitStatus::Done),
        Command::Doctor(args) => doctor::doctor(args, &mut out),
        Command::Models(args) => commands::models(args, &cli.messages, &mut out),
        Command::Verify(args) => commands::verify(args, &mut out),
        Command::Compact(args) => commands::compact(args, &mut out),
        Command::Reparse(args) => commands::reparse(args, &mut out),
        Command::Export(args) => commands::export(args, &mut out),
        Command::Import(args) => commands::import(args, &mut out),
        Command::Search(args) => commands::search(args, &mut out),
        Command::Report(args) => commands::report(args, &cli.messages, &mut out),
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "labelmill", &mut out);
            Ok(ExitStatus::Done)
        }
        Command::Man => {
            clap_mangen::Man::new(Cli::command()).render(&mut out)?;
            Ok(ExitStatus::Done)
        }
    }?;
    out.flush()?;
    Ok(status)
}

fn start_log(messages: &MessageArgs) {
    let level = if messages.quiet { "error" } else { "info" };
    let filter = tracing_subscriber::EnvFilter::try_from_env("LABELMILL_LOG_FILTER")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(format!("{level},ort=warn")));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    match messages.log {
        LogFormat::Json => log.json().init(),
        LogFormat::Text => {
            log.with_ansi(io::stderr().is_terminal())
                .without_time()
                .with_target(false)
                .compact()
                .init();
        }
    }
}

fn status_of(error: &anyhow::Error) -> ExitStatus {
    if error.downcast_ref::<UsageError>().is_some() {
        ExitStatus::Usage
    } else {
        commands::status_of(error)
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}
