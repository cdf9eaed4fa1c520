//! `init start|stop|restart|signal|reload|run|pause|resume`: tells the running init what to do, and what came of it.

use super::look::{Ink, harmless};
use super::remote::{Done, Failed, Io, Remote};
use super::say;
use crate::config::values::{Sig, Text as _};
use crate::control::protocol::{Outcome, Reply, Request};
use crate::exit;

/// Asks, shows what goes on, and returns the code of the first that failed.
pub fn run(remote: &Remote, io: &mut Io<'_>) -> Done {
    let request = request(remote).map_err(|why| remote.usage(&why, io))?;
    let mut connection = remote.ask_patiently(&request).map_err(|error| remote.fail(&error, io))?;
    loop {
        match connection.reply().map_err(|error| remote.fail(&error, io))? {
            Reply::Progress { text } => say(io.err, format_args!("{}", harmless(&text))),
            Reply::Done { results } => return Ok(tell(remote, &results, io)),
            _ => return Err(remote.surprised(io)),
        }
    }
}

fn request(remote: &Remote) -> Result<Request, String> {
    let words = remote.line.words.clone();
    let names = |words: Vec<String>| match words.is_empty() {
        true => Err("name the services: NAME, NAME:N, or all".to_owned()),
        false => Ok(words),
    };
    Ok(match remote.command.name {
        "start" => Request::Start { names: names(words)? },
        "stop" => Request::Stop { names: names(words)? },
        "restart" => Request::Restart { names: names(words)? },
        "signal" => {
            let mut words = words.into_iter();
            let signal = words.next().ok_or("the signal is missing, such as USR1")?;
            Sig::read(&signal)?;
            Request::Signal { signal, names: names(words.collect())? }
        }
        "run" => {
            let name = words.into_iter().next().ok_or("name the cron entry to run")?;
            Request::Run { name, wait: !remote.line.has("no-wait") }
        }
        "pause" => Request::Pause,
        "resume" => Request::Resume,
        _ => Request::Reload,
    })
}

/// One line for each result; what failed goes to stderr.
fn tell(remote: &Remote, results: &[Outcome], io: &mut Io<'_>) -> u8 {
    for result in results {
        let (name, text) = (harmless(&result.name), harmless(&result.text));
        let name = if name.is_empty() { remote.command.name.into() } else { name };
        if result.ok {
            say(io.out, format_args!("{}: {text}", io.look.paint(Ink::Name, &name)));
        } else {
            say(io.err, format_args!("{name}: {text}"));
        }
    }
    let failed = results.iter().find(|result| !result.ok);
    failed.map_or(exit::OK, |result| if result.code == exit::OK { exit::FAILED } else { result.code })
}

/// The failure of a command whose output cannot be written.
pub fn unwritable(error: &std::io::Error) -> Done {
    // `| head`: the reader has what it wanted.
    if error.kind() == std::io::ErrorKind::BrokenPipe { Ok(exit::OK) } else { Err(Failed(exit::OS)) }
}
