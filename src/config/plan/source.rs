//! The notations of a source that users already have, as data. PURE.
//!
//! `s3://bucket/key[?versionId=ID]`, `arn:aws:s3:::bucket/key` (the syntax of ECS's `environmentFiles`), an object
//! behind an access point (`arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME/object/KEY`, also `s3://ARN/KEY` as aws-cli takes
//! it), `file:///path` and plain absolute paths; and `self-signed:NAME[,NAME…]`, which is made and not fetched. Keys
//! are taken as they are written: S3 keys are arbitrary text and no tool decodes `%20` in an `s3://` address.

use std::fmt;
use std::path::PathBuf;

/// Where a file comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    S3(Object),
    /// An absolute path.
    File(PathBuf),
    /// A certificate for these names, and its key.
    SelfSigned(Vec<String>),
}

/// One object in S3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// A bucket's name, an access point's alias, or an access point's ARN.
    pub bucket: String,
    /// Never empty, never with a leading slash that the user did not write.
    pub key: String,
    pub version_id: Option<String>,
    /// Region that the notation itself names (access point ARNs).
    pub region: Option<String>,
}

/// A notation that names no source. Shows the source as it was written: it holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceError {
    Empty,
    /// No scheme that is known: `https://…`, `gs://…`.
    Scheme {
        source: String,
        scheme: String,
    },
    /// An `http(s)://` address of S3 itself; holds the notation that works.
    Url {
        source: String,
        instead: Option<String>,
    },
    Relative {
        source: String,
    },
    /// A path that ends in a slash.
    Folder {
        source: String,
    },
    /// `file://host/path`.
    FileHost {
        source: String,
        host: String,
    },
    Bucket {
        source: String,
        why: &'static str,
    },
    Key {
        source: String,
        why: &'static str,
    },
    Query {
        source: String,
        parameter: String,
    },
    Arn {
        source: String,
        why: &'static str,
    },
    /// A name that is none.
    Name {
        source: String,
    },
    /// An S3 source in a build without the feature.
    NoS3 {
        source: String,
    },
}

const FORMS: &str = "write s3://bucket/key, arn:aws:s3:::bucket/key, file:///path or an absolute path";

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "cannot read an empty source: {FORMS}"),
            Self::Scheme { source, scheme } => {
                write!(f, "cannot read source \"{source}\": unknown scheme \"{scheme}\"; {FORMS}")
            }
            Self::Url { source, instead: Some(instead) } => {
                write!(f, "cannot read source \"{source}\": web addresses are not signed; write {instead}")
            }
            Self::Url { source, instead: None } => {
                write!(f, "cannot read source \"{source}\": web addresses are not signed; {FORMS}")
            }
            Self::Relative { source } => {
                write!(
                    f,
                    "cannot read source \"{source}\": a relative path depends on where init was started; {FORMS}"
                )
            }
            Self::Folder { source } => {
                write!(
                    f,
                    "cannot read source \"{source}\": it ends in a slash, which names a directory; name one file"
                )
            }
            Self::FileHost { source, host } => write!(
                f,
                "cannot read source \"{source}\": \"{host}\" is taken for a host; write file:///path with three slashes"
            ),
            Self::Bucket { source, why } => write!(f, "cannot read source \"{source}\": the bucket {why}"),
            Self::Key { source, why } => write!(f, "cannot read source \"{source}\": the key {why}"),
            Self::Query { source, parameter } => write!(
                f,
                "cannot read source \"{source}\": unknown parameter \"{parameter}\"; only versionId=ID may follow the question mark"
            ),
            Self::Arn { source, why } => write!(f, "cannot read source \"{source}\": the ARN {why}"),
            Self::Name { source } => write!(
                f,
                "cannot read source \"{source}\": write self-signed: and the names of the certificate, with commas between them, \
                 such as self-signed:localhost,127.0.0.1"
            ),
            Self::NoS3 { source } => write!(
                f,
                "cannot read source \"{source}\": this init was built without the feature \"s3\"; use the default build or a file"
            ),
        }
    }
}

impl std::error::Error for SourceError {}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3(object) => object.fmt(f),
            Self::File(path) => path.display().fmt(f),
            Self::SelfSigned(names) => write!(f, "self-signed:{}", names.join(",")),
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)?;
        self.version_id.as_ref().map_or(Ok(()), |id| write!(f, "?versionId={id}"))
    }
}

impl Object {
    /// The object's ARN, for a policy's `Resource`.
    pub fn arn(&self) -> String {
        if self.bucket.starts_with("arn:") {
            format!("{}/object/{}", self.bucket, self.key)
        } else {
            format!("arn:aws:s3:::{}/{}", self.bucket, self.key)
        }
    }

    /// The ARN of what holds the object, for `s3:ListBucket`.
    pub fn bucket_arn(&self) -> String {
        if self.bucket.starts_with("arn:") {
            self.bucket.clone()
        } else {
            format!("arn:aws:s3:::{}", self.bucket)
        }
    }
}

impl Source {
    /// Parses a source; a build without the feature `s3` refuses S3 sources.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        match Self::read(text)? {
            Self::S3(_) if !cfg!(feature = "s3") => Err(SourceError::NoS3 { source: text.trim().to_owned() }),
            parsed => Ok(parsed),
        }
    }

    /// Parses a source, whatever this build can fetch: what a configuration may say.
    pub fn read(text: &str) -> Result<Self, SourceError> {
        let source = text.trim();
        if source.is_empty() {
            return Err(SourceError::Empty);
        }
        if let Some(rest) = strip_scheme(source, "s3://") {
            Ok(Self::S3(s3(source, rest)?))
        } else if source.starts_with("arn:") {
            Ok(Self::S3(arn(source, source)?))
        } else if let Some(rest) = strip_scheme(source, "file://") {
            file(source, rest)
        } else if let Some(rest) = strip_scheme(source, "self-signed:") {
            self_signed(source, rest)
        } else if source.starts_with('/') {
            path(source, source)
        } else {
            Err(unknown(source))
        }
    }
}

fn strip_scheme<'a>(source: &'a str, scheme: &str) -> Option<&'a str> {
    let head = source.get(..scheme.len())?;
    head.eq_ignore_ascii_case(scheme).then(|| &source[scheme.len()..])
}

fn unknown(source: &str) -> SourceError {
    let source = source.to_owned();
    for scheme in ["https://", "http://"] {
        if let Some(rest) = strip_scheme(&source, scheme) {
            let instead = from_url(rest);
            return SourceError::Url { source, instead };
        }
    }
    match source.split_once("://") {
        Some((scheme, _)) => SourceError::Scheme { scheme: scheme.to_owned(), source },
        None => SourceError::Relative { source },
    }
}

/// `bucket.s3.region.amazonaws.com/key` and `s3.region.amazonaws.com/bucket/key`, as consoles print them.
fn from_url(rest: &str) -> Option<String> {
    let path = rest.split('?').next()?;
    let (host, key) = path.split_once('/')?;
    let aws = host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn");
    if !aws || key.is_empty() {
        return None;
    }
    if host.starts_with("s3.") || host.starts_with("s3-") {
        return Some(format!("s3://{key}"));
    }
    let bucket = host.split_once(".s3.").or_else(|| host.split_once(".s3-"))?.0;
    Some(format!("s3://{bucket}/{key}"))
}

fn file(source: &str, rest: &str) -> Result<Source, SourceError> {
    let path = match rest.strip_prefix("localhost/") {
        Some(path) => format!("/{path}"),
        None => rest.to_owned(),
    };
    if !path.starts_with('/') {
        let host = path.split('/').next().unwrap_or_default().to_owned();
        return Err(SourceError::FileHost { source: source.to_owned(), host });
    }
    self::path(source, &path)
}

fn path(source: &str, path: &str) -> Result<Source, SourceError> {
    if path.ends_with('/') {
        return Err(SourceError::Folder { source: source.to_owned() });
    }
    Ok(Source::File(PathBuf::from(path)))
}

fn self_signed(source: &str, rest: &str) -> Result<Source, SourceError> {
    names(rest).map(Source::SelfSigned).ok_or_else(|| SourceError::Name { source: source.to_owned() })
}

/// The names of a certificate, host names and addresses, with commas between them.
pub fn names(text: &str) -> Option<Vec<String>> {
    let part = |c: char| c.is_ascii_alphanumeric() || "-.:*_".contains(c);
    let fits = |name: &str| !name.is_empty() && name.len() <= 253 && name.chars().all(part);
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    names.iter().all(|name| fits(name)).then_some(names)
}

fn s3(source: &str, rest: &str) -> Result<Object, SourceError> {
    if rest.starts_with("arn:") {
        return arn(source, rest);
    }
    let (rest, version_id) = version(source, rest)?;
    let (bucket, key) = rest.split_once('/').ok_or_else(|| SourceError::Key {
        source: source.to_owned(),
        why: "is missing; write s3://bucket/key",
    })?;
    object(source, bucket, key, version_id)
}

/// Splits a query off. A `?` may be part of a key, so only what looks like a parameter list is taken for one.
fn version<'a>(source: &str, rest: &'a str) -> Result<(&'a str, Option<String>), SourceError> {
    let Some((path, query)) = rest.rsplit_once('?') else { return Ok((rest, None)) };
    match query.split_once('=') {
        Some(("versionId" | "versionid" | "VersionId", id)) if !id.is_empty() && !id.contains('&') => {
            Ok((path, Some(id.to_owned())))
        }
        Some((name, _)) => {
            let parameter = if name.eq_ignore_ascii_case("versionid") { query } else { name };
            Err(SourceError::Query { source: source.to_owned(), parameter: parameter.to_owned() })
        }
        None => Ok((rest, None)),
    }
}

/// S3's own rule for names, with upper case and underscores as old us-east-1 buckets may have them.
fn object(source: &str, bucket: &str, key: &str, version_id: Option<String>) -> Result<Object, SourceError> {
    let bad = |why| SourceError::Bucket { source: source.to_owned(), why };
    if bucket.is_empty() {
        return Err(bad("is missing; write s3://bucket/key (is a variable empty?)"));
    }
    if !(3..=255).contains(&bucket.len()) {
        return Err(bad("must have 3 to 63 characters"));
    }
    if !bucket.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')) {
        return Err(bad("may hold letters, digits, dots and hyphens only"));
    }
    let key_error = |why| SourceError::Key { source: source.to_owned(), why };
    if key.is_empty() {
        return Err(key_error("is missing; write s3://bucket/key"));
    }
    if key.ends_with('/') {
        return Err(key_error("ends in a slash, which names a folder; name one object"));
    }
    if key.starts_with('/') {
        return Err(key_error("starts with a second slash (is a variable empty?)"));
    }
    if key.len() > 1024 {
        return Err(key_error("is longer than S3's 1024 bytes"));
    }
    Ok(Object { bucket: bucket.to_owned(), key: key.to_owned(), version_id, region: None })
}

fn arn(source: &str, text: &str) -> Result<Object, SourceError> {
    let bad = |why| SourceError::Arn { source: source.to_owned(), why };
    let (text, version_id) = version(source, text)?;
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let [_, partition, service, region, account, resource] = parts[..] else {
        return Err(bad("has too few parts; write arn:aws:s3:::bucket/key"));
    };
    if !matches!(partition, "aws" | "aws-cn" | "aws-us-gov") && !partition.starts_with("aws-iso") {
        return Err(bad("is of an unknown partition; write arn:aws:s3:::bucket/key"));
    }
    if service != "s3" {
        return Err(bad("is not one of S3; write arn:aws:s3:::bucket/key"));
    }
    if let Some(point) =
        resource.strip_prefix("accesspoint/").or_else(|| resource.strip_prefix("accesspoint:"))
    {
        let (name, rest) = point.split_once('/').ok_or_else(|| {
            bad("names no object; write arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME/object/KEY")
        })?;
        if region.is_empty() || account.is_empty() || name.is_empty() {
            return Err(bad("of an access point must name its region, account and name"));
        }
        let key = rest.strip_prefix("object/").unwrap_or(rest);
        let mut object = object(source, name, key, version_id)?;
        object.bucket = format!("arn:{partition}:s3:{region}:{account}:accesspoint/{name}");
        object.region = Some(region.to_owned());
        return Ok(object);
    }
    if !region.is_empty() || !account.is_empty() {
        return Err(bad("of a bucket has no region and no account; write arn:aws:s3:::bucket/key"));
    }
    let (bucket, key) = resource.split_once('/').ok_or_else(|| bad("names a bucket but no object"))?;
    object(source, bucket, key, version_id)
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
