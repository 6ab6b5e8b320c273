//! Where a repository lies: a directory, or a bucket with how it is reached.

use std::fmt;
use std::path::{Path, PathBuf};

use lifeboat_repo::store::s3::{Keys, Locks, S3Settings};
use toml::Spanned;

use super::raw::RawS3;
use super::{Source, check};
use crate::failure::{Result, shown};

/// The longest prefix within a bucket; with the longest object name it stays below what S3 allows (1,024 bytes).
const PREFIX_MAX: usize = 256;

/// Where a repository lies.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// In this directory.
    Directory(PathBuf),
    /// In this bucket.
    Bucket(Box<S3Settings>),
}

impl Place {
    /// The directory, if it is one.
    pub(crate) fn directory(&self) -> Option<&Path> {
        match self {
            Self::Directory(path) => Some(path),
            Self::Bucket(_) => None,
        }
    }

    /// The storage class of packs, where one is named.
    #[cfg(feature = "recover")]
    pub(crate) fn storage_class(&self) -> Option<&str> {
        match self {
            Self::Directory(_) => None,
            Self::Bucket(settings) => settings.storage_class.as_deref(),
        }
    }

    /// The same, from the root where it is a directory: paper has no current directory.
    pub(crate) fn whole(&self) -> String {
        match self {
            Self::Directory(path) => {
                std::path::absolute(path).map_or_else(|_| shown(path), |path| shown(&path))
            }
            Self::Bucket(settings) => match &settings.endpoint {
                Some(endpoint) => format!("{} at {endpoint}", settings.url()),
                None => settings.url(),
            },
        }
    }

    /// Whether two places are one.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Directory(one), Self::Directory(other)) => one == other,
            (Self::Bucket(one), Self::Bucket(other)) => {
                (&one.bucket, &one.prefix, &one.endpoint) == (&other.bucket, &other.prefix, &other.endpoint)
            }
            _ => false,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => f.write_str(&shown(path)),
            Self::Bucket(settings) => f.write_str(&settings.url()),
        }
    }
}

/// Where something lies, by its address and the options of a bucket; `field` and `table` are what they are called.
pub(super) fn check_place(
    source: &Source<'_>,
    [field, table]: [&str; 2],
    place: &Spanned<String>,
    options: Option<&Spanned<RawS3>>,
) -> Result<Place> {
    let address = place.get_ref();
    let Some((scheme, rest)) = address.split_once("://") else {
        if let Some(options) = options {
            return Err(source
                .mistake(options.span(), format!("options of a bucket, and the {field} is a directory"))
                .next(format!("write {field} = \"s3://BUCKET/PREFIX\", or remove [regions.NAME.{table}]")));
        }
        return Ok(Place::Directory(check::path(source, place)?));
    };
    if scheme != "s3" {
        return Err(source
            .mistake(place.span(), format!("there is no kind of {field} called {scheme}://"))
            .next("give a directory, or a bucket as s3://BUCKET/PREFIX"));
    }
    let (bucket, prefix) = check_url(source, field, place, rest)?;
    let mut settings = S3Settings::of(bucket, prefix);
    if let Some(options) = options {
        apply(source, options.get_ref(), &mut settings)?;
        if let Some(why) = settings.refused() {
            let span = options.get_ref().endpoint.as_ref().map_or_else(|| options.span(), Spanned::span);
            return Err(halved(source, span, &why));
        }
    }
    Ok(Place::Bucket(Box::new(settings)))
}

/// A mistake whose text says after a semicolon what to do.
fn halved(source: &Source<'_>, span: std::ops::Range<usize>, text: &str) -> crate::failure::Failure {
    let (what, next) = text.split_once("; ").unwrap_or((text, "correct that line"));
    source.mistake(span, what).next(next)
}

fn check_url(
    source: &Source<'_>,
    field: &str,
    text: &Spanned<String>,
    rest: &str,
) -> Result<(String, String)> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = prefix.trim_end_matches('/');
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
    if !(3..=63).contains(&bucket.len()) || !bucket.chars().all(plain) {
        return Err(source
            .mistake(text.span(), "a bucket's name is 3 to 63 of a-z 0-9 . -")
            .next(format!("write {field} = \"s3://BUCKET\" or \"s3://BUCKET/PREFIX\"")));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/');
    let parts_stand = prefix.is_empty() || prefix.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if prefix.len() > PREFIX_MAX || !prefix.chars().all(allowed) || !parts_stand {
        return Err(source
            .mistake(text.span(), "a prefix is made of A-Z a-z 0-9 . _ - between single slashes")
            .next("choose a plain one, such as s3://BUCKET/lifeboat/eu-fra"));
    }
    Ok((bucket.to_owned(), prefix.to_owned()))
}

fn apply(source: &Source<'_>, raw: &RawS3, settings: &mut S3Settings) -> Result<()> {
    let text = |slot: &Option<Spanned<String>>| -> Result<Option<String>> {
        let Some(text) = slot else { return Ok(None) };
        let value = text.get_ref();
        if value.is_empty() || value.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(source
                .mistake(text.span(), "this is empty, or holds a blank")
                .next("correct that line"));
        }
        Ok(Some(value.clone()))
    };
    settings.endpoint = text(&raw.endpoint)?.map(|endpoint| endpoint.trim_end_matches('/').to_owned());
    settings.region = text(&raw.region)?;
    settings.storage_class = text(&raw.storage_class)?;
    // Amazon alone names buckets as hosts without being told how.
    settings.path_style = raw.path_style.unwrap_or(settings.endpoint.is_some());
    settings.allow_private = raw.allow_private.unwrap_or(false);
    settings.allow_http = raw.allow_http.unwrap_or(false);
    settings.keys = Keys::Chain { profile: text(&raw.profile)? };
    if let Some(file) = &raw.ca_file {
        let path = check::path(source, file)?;
        let pem = std::fs::read(&path).map_err(|error| {
            source
                .mistake(file.span(), format!("cannot read the certificates in {}: {error}", shown(&path)))
                .next("give a file of certificates in PEM, which this user may read")
        })?;
        settings.roots.push(pem);
    }
    if let Some(lock) = &raw.lock {
        settings.locks.normal = Some(check::duration(source, lock)?);
    }
    locks(source, raw, &mut settings.locks)?;
    settings.lock_profile = text(&raw.lock_profile)?;
    Ok(())
}

/// How long other classes are locked, and how much of a lock must be left. Without locks neither makes sense.
fn locks(source: &Source<'_>, raw: &RawS3, locks: &mut Locks) -> Result<()> {
    let (short, floor) = (raw.lock_short.as_ref(), raw.lock_floor.as_ref());
    let Some(normal) = locks.normal else {
        let stray = short.or(floor).or(raw.lock_profile.as_ref());
        return stray.map_or(Ok(()), |stray| {
            Err(source
                .mistake(stray.span(), "this speaks of locks, and there are none")
                .next("write lock = \"60d\" too, in a bucket that was made with Object Lock"))
        });
    };
    if let Some(text) = short {
        let short = check::duration(source, text)?;
        if short > normal {
            return Err(source
                .mistake(text.span(), "what is short is longer than lock")
                .next("write lock_short = \"14d\", or anything up to lock"));
        }
        locks.short = Some(short);
    }
    if let Some(text) = floor {
        let floor = check::duration(source, text)?;
        if floor >= normal {
            return Err(source
                .mistake(
                    text.span(),
                    "a new lock would be below this already, and nothing could be deduplicated",
                )
                .next("write about half of lock: lock_floor = \"30d\""));
        }
        locks.floor = Some(floor);
    }
    Ok(())
}
