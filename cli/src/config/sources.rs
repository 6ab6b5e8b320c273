//! Where a component's data comes from: a tree or a command, and what runs around it.

use std::ffi::OsString;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use lifeboat_backup::{BadExclude, CommandSource, Environment, Excludes, Hooks, Percent, Program, Rewriting};
use lifeboat_repo::ids::{Label, Tenant};
use toml::Spanned;

use super::amounts::parse_percent;
use super::check::{duration, path};
use super::raw::{RawComponent, RawHook, RawHooks};
use super::{Source, SourceKind};
use crate::failure::{Failure, Result};

/// What a hook may take unless it says something else: long enough to freeze a database, short enough to notice.
const HOOK_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// The shell of hooks.
const SHELL: &str = "/bin/sh";

pub(super) fn check(source: &Source<'_>, name: &Spanned<String>, raw: &RawComponent) -> Result<SourceKind> {
    match (&raw.path, &raw.command) {
        (Some(place), None) => {
            refuse_others(source, &of_commands(raw), "path", "command")?;
            Ok(SourceKind::Files(path(source, place)?, excludes(source, raw)?))
        }
        (None, Some(command)) => {
            refuse_others(source, &of_trees(raw), "command", "path")?;
            Ok(SourceKind::Command(check_command(source, name, raw, command)?))
        }
        (Some(_), Some(command)) => Err(source
            .mistake(command.span(), format!("component {} has both path and command", name.get_ref()))
            .next("keep one: path for a tree of files, command for what a program writes")),
        (None, None) => Err(source
            .mistake(name.span(), format!("component {} has nothing to back up", name.get_ref()))
            .next("add path = \"…\" for a tree of files, or command = [\"…\"] for what a program writes")),
    }
}

/// The fields that are there and make no sense beside another.
type Fields = Vec<(&'static str, Option<Range<usize>>)>;

fn refuse_others(source: &Source<'_>, fields: &Fields, beside: &str, with: &str) -> Result<()> {
    for (field, span) in fields {
        if let Some(span) = span {
            return Err(source
                .mistake(span.clone(), format!("{field} means nothing beside {beside}"))
                .next(format!("take it away; it belongs to components with {with}")));
        }
    }
    Ok(())
}

fn of_commands(raw: &RawComponent) -> Fields {
    vec![
        ("stream_name", raw.stream_name.as_ref().map(Spanned::span)),
        ("tenant", raw.tenant.as_ref().map(Spanned::span)),
        ("directory", raw.directory.as_ref().map(Spanned::span)),
        ("env", raw.env.keys().next().map(Spanned::span)),
        ("user", raw.user.as_ref().map(Spanned::span)),
        ("timeout", raw.timeout.as_ref().map(Spanned::span)),
    ]
}

fn of_trees(raw: &RawComponent) -> Fields {
    vec![
        ("tenants", raw.tenants.first().map(Spanned::span)),
        ("not_tenants", raw.not_tenants.first().map(Spanned::span)),
        ("exclude", raw.exclude.first().map(Spanned::span)),
        ("exclude_if_present", raw.exclude_if_present.first().map(Spanned::span)),
        ("cachedir_tag", raw.cachedir_tag.as_ref().map(Spanned::span)),
        ("one_filesystem", raw.one_filesystem.as_ref().map(Spanned::span)),
    ]
}

fn excludes(source: &Source<'_>, raw: &RawComponent) -> Result<Excludes> {
    let on = |flag: &Option<Spanned<bool>>| flag.as_ref().is_some_and(|flag| *flag.get_ref());
    let bad = |text: &Spanned<String>, error: BadExclude| {
        source
            .mistake(text.span(), crate::failure::tame(&error.to_string()))
            .next("write it as in a .gitignore at the component's root, such as \"*.tmp\" or \"/cache/**\"")
    };
    let words = |all: &[Spanned<String>]| all.iter().map(|text| text.get_ref().clone()).collect::<Vec<_>>();
    // One by one first, so that the mistake is pointed at; together they cannot fail any more.
    for text in &raw.exclude {
        let one = std::slice::from_ref(text.get_ref());
        Excludes::default().with_patterns(one).map_err(|error| bad(text, error))?;
    }
    for text in &raw.exclude_if_present {
        let one = std::slice::from_ref(text.get_ref());
        Excludes::default().with_if_present(one).map_err(|error| bad(text, error))?;
    }
    let all = || {
        Excludes::default()
            .with_patterns(&words(&raw.exclude))?
            .with_if_present(&words(&raw.exclude_if_present))
    };
    let excludes = all().map_err(|error| match raw.exclude.first() {
        Some(first) => bad(first, error),
        None => Failure::usage(error.to_string()),
    })?;
    Ok(excludes.with_cachedir_tag(on(&raw.cachedir_tag)).with_one_filesystem(on(&raw.one_filesystem)))
}

fn check_command(
    source: &Source<'_>,
    name: &Spanned<String>,
    raw: &RawComponent,
    command: &Spanned<Vec<Spanned<String>>>,
) -> Result<CommandSource> {
    let next = "write the program, then its arguments: command = [\"pg_dump\", \"-Fc\", \"crm\"]";
    let program = command_of(source, command, next)?;
    let mut environment = Environment::default();
    for (variable, value) in &raw.env {
        let bad = variable.get_ref().is_empty() || variable.get_ref().contains(['=', '\0']);
        if bad {
            return Err(source
                .mistake(variable.span(), "this is no name of an environment variable")
                .next("write env = { PGHOST = \"/run/postgresql\" }"));
        }
        refuse_nul(source, value)?;
        environment.set(variable.get_ref(), value.get_ref());
    }
    let directory = raw.directory.as_ref().map(|text| path(source, text)).transpose()?;
    Ok(CommandSource {
        program: Program {
            directory: directory.unwrap_or_else(|| PathBuf::from("/")),
            environment,
            user: raw.user.as_ref().map(|user| user_of(source, user)).transpose()?,
            timeout: raw.timeout.as_ref().map(|text| duration(source, text)).transpose()?,
            ..program
        },
        stream_name: stream_name(source, name, raw)?,
        tenant: tenant(source, raw)?,
        allow_empty: raw.allow_empty.as_ref().is_some_and(|flag| *flag.get_ref()),
    })
}

/// A program and its arguments, as a list.
pub(super) fn command_of(
    source: &Source<'_>,
    command: &Spanned<Vec<Spanned<String>>>,
    next: &str,
) -> Result<Program> {
    let Some((program, arguments)) = command.get_ref().split_first() else {
        return Err(source.mistake(command.span(), "the command is empty").next(next));
    };
    for part in command.get_ref() {
        refuse_nul(source, part)?;
    }
    let arguments = arguments.iter().map(|part| part.get_ref().into()).collect();
    Ok(Program { arguments, ..Program::new(program_of(source, program)?, &[]) })
}

/// A name that is looked up, or a path, relative to the file as all paths are.
fn program_of(source: &Source<'_>, text: &Spanned<String>) -> Result<OsString> {
    if text.get_ref().is_empty() {
        return Err(source.mistake(text.span(), "the program has no name").next("write its name or path"));
    }
    if text.get_ref().contains('/') {
        return Ok(path(source, text)?.into_os_string());
    }
    Ok(text.get_ref().into())
}

fn user_of(source: &Source<'_>, text: &Spanned<String>) -> Result<String> {
    refuse_nul(source, text)?;
    if text.get_ref().is_empty() {
        return Err(source.mistake(text.span(), "the user has no name").next("write user = \"postgres\""));
    }
    Ok(text.get_ref().clone())
}

fn refuse_nul(source: &Source<'_>, text: &Spanned<String>) -> Result<()> {
    if text.get_ref().contains('\0') {
        return Err(source
            .mistake(text.span(), "there is a NUL in it, which no program can be given")
            .next("take it away"));
    }
    Ok(())
}

fn stream_name(source: &Source<'_>, name: &Spanned<String>, raw: &RawComponent) -> Result<String> {
    let Some(text) = &raw.stream_name else { return Ok(format!("{}.stream", name.get_ref())) };
    let stream = text.get_ref();
    let bad = matches!(stream.as_str(), "" | "." | "..")
        || stream.len() > 255
        || stream.contains('/')
        || stream.chars().any(char::is_control);
    if bad {
        return Err(source
            .mistake(text.span(), "stream_name is the name of one file")
            .next("write something like crm.dump, without slashes"));
    }
    Ok(stream.clone())
}

fn tenant(source: &Source<'_>, raw: &RawComponent) -> Result<Tenant> {
    match (&raw.tenant, &raw.system) {
        (Some(text), None) => {
            let label: Label = text.get_ref().parse().map_err(|_| {
                source
                    .mistake(text.span(), format!("a tenant cannot be called {:?}", text.get_ref()))
                    .next("use a-z, 0-9, dot, underscore and -, at most 63, a letter or digit first")
            })?;
            Ok(Tenant::Named(label))
        }
        (Some(text), Some(_)) => Err(source
            .mistake(
                text.span(),
                "a stream belongs to one tenant, or to none with system = \"why\", not both",
            )
            .next("take one of the two away")),
        (None, _) => Ok(Tenant::System),
    }
}

/// What keeps dead data from piling up.
pub(super) fn check_rewriting(source: &Source<'_>, raw: &RawComponent) -> Result<Rewriting> {
    let read = |text: &Option<Spanned<String>>, or: Percent| match text {
        None => Ok(or),
        Some(text) => parse_percent(text.get_ref()).map_err(|why| source.mistake(text.span(), why)),
    };
    let usual = Rewriting::default();
    Ok(Rewriting {
        below: read(&raw.rewrite_below, usual.below)?,
        at_most: read(&raw.rewrite_at_most, usual.at_most)?,
    })
}

pub(super) fn check_hooks(source: &Source<'_>, raw: &RawHooks) -> Result<Hooks> {
    let all =
        |hooks: &[Spanned<RawHook>]| hooks.iter().map(|hook| check_hook(source, hook)).collect::<Result<_>>();
    Ok(Hooks { before: all(&raw.before)?, after: all(&raw.after)?, on_failure: all(&raw.on_failure)? })
}

pub(super) fn check_hook(source: &Source<'_>, raw: &Spanned<RawHook>) -> Result<Program> {
    let (line, timeout, user) = match raw.get_ref() {
        RawHook::Line(line) => (line, None, None),
        RawHook::Table(table) => (&table.run, table.timeout.as_ref(), table.user.as_ref()),
    };
    let placed = |text: &String| Spanned::new(raw.span(), text.clone());
    let line = placed(line);
    let (timeout, user) = (timeout.map(placed), user.map(placed));
    refuse_nul(source, &line)?;
    if line.get_ref().trim().is_empty() {
        return Err(source
            .mistake(line.span(), "this hook does nothing")
            .next("write a line for the shell, such as \"fsfreeze --freeze /srv\", or take it away"));
    }
    let timeout = timeout.map(|text| duration(source, &text)).transpose()?;
    Ok(Program {
        timeout: Some(timeout.unwrap_or(HOOK_TIMEOUT)),
        user: user.map(|user| user_of(source, &user)).transpose()?,
        ..Program::new(SHELL, &["-c", line.get_ref()])
    })
}
