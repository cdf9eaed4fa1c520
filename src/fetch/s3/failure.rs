//! What S3's refusals mean and what to do about them.
//!
//! Codes from the S3 API reference, "Error responses", and those that stand-ins for S3 use. S3's own message is shown: it
//! names roles, actions and resources, which is what a policy needs; the body around it, which repeats the request, is not.

use super::connection::{Asked, unanswered, whole};
use super::region::is_region;
use crate::config::plan::source::Object;
use crate::fetch::error::{FetchError, Kind, quote};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

/// How an attempt failed.
#[derive(Debug)]
pub enum Failure {
    /// The bucket lives in this region.
    Elsewhere(String),
    Error(FetchError),
}

/// The answer to a request with `If-None-Match`: the object is the same.
pub fn not_modified(error: &SdkError<GetObjectError, HttpResponse>) -> bool {
    let status = error.raw_response().map(|response| response.status().as_u16());
    status == Some(304)
}

/// What was tried, for the words.
pub struct Tried<'a> {
    pub object: &'a Object,
    pub asked: Asked<'a>,
    pub region: &'a str,
    /// Whose permissions count: the role's ARN or the provider's name.
    pub who: &'a str,
}

/// An answer of S3 that is no object.
#[derive(Debug, Default)]
struct Refusal {
    status: u16,
    code: String,
    message: String,
    bucket_region: Option<String>,
    delete_marker: bool,
}

impl Tried<'_> {
    /// Sorts the SDK's error.
    pub fn failure(&self, error: &SdkError<GetObjectError, HttpResponse>) -> Failure {
        match error {
            SdkError::ServiceError(context) => {
                let headers = context.raw().headers();
                let refusal = Refusal {
                    status: context.raw().status().as_u16(),
                    code: quote(context.err().code().unwrap_or_default()),
                    message: quote(context.err().message().unwrap_or_default()),
                    bucket_region: headers.get("x-amz-bucket-region").map(str::to_owned),
                    delete_marker: headers.get("x-amz-delete-marker").is_some_and(|value| value == "true"),
                };
                self.refused(&refusal)
            }
            SdkError::DispatchFailure(context) => Failure::Error(match context.as_connector_error() {
                Some(error) => unanswered(&self.asked, error),
                None => unanswered(&self.asked, error),
            }),
            SdkError::ConstructionFailure(_) => Failure::Error(
                FetchError::new(Kind::Setting, format!("{}: {}", self.asked.what, whole(error)))
                    .hint("check bucket, region and endpoint"),
            ),
            SdkError::ResponseError(context) => {
                let status = context.raw().status().as_u16();
                let why = format!("{}: answer {status} of {} is not S3's", self.asked.what, self.asked.host);
                Failure::Error(FetchError::new(Kind::Unreachable, why).transient())
            }
            _ => Failure::Error(unanswered(&self.asked, error)),
        }
    }

    fn refused(&self, refusal: &Refusal) -> Failure {
        if let Some(region) = self.elsewhere(refusal) {
            return Failure::Elsewhere(region);
        }
        let status = refusal.status;
        let transient = status == 429
            || status >= 500
            || matches!(
                refusal.code.as_str(),
                "SlowDown"
                    | "RequestTimeout"
                    | "InternalError"
                    | "ServiceUnavailable"
                    | "Throttling"
                    | "ThrottlingException"
            );
        Failure::Error(if transient {
            FetchError::new(Kind::Unreachable, self.said(refusal)).transient()
        } else if status == 404 || refusal.code.starts_with("NoSuch") || refusal.delete_marker {
            self.missing(refusal)
        } else if (300..400).contains(&status) || refusal.code == "AuthorizationHeaderMalformed" {
            FetchError::new(Kind::Setting, self.said(refusal))
                .hint(format!("set region to the bucket's own; it was asked for in {}", self.region))
        } else {
            self.forbidden(refusal)
        })
    }

    /// S3 tells the bucket's region in a header, or in the words of a signature error.
    fn elsewhere(&self, refusal: &Refusal) -> Option<String> {
        if !matches!(refusal.status, 301 | 307 | 400 | 403) {
            return None;
        }
        let words = || {
            let rest = refusal.message.split_once("expecting '")?.1;
            (refusal.code == "AuthorizationHeaderMalformed").then(|| rest.split('\'').next())?
        };
        let region = refusal.bucket_region.as_deref().or_else(words)?;
        (is_region(region) && region != self.region).then(|| region.to_owned())
    }

    /// "cannot get …: S3 answers 403 AccessDenied: message".
    fn said(&self, refusal: &Refusal) -> String {
        let Refusal { status, code, message, .. } = refusal;
        let space = if code.is_empty() { "" } else { " " };
        let colon = if message.is_empty() { "" } else { ": " };
        format!("{}: {} answers {status}{space}{code}{colon}{message}", self.asked.what, self.asked.host)
    }

    fn missing(&self, refusal: &Refusal) -> FetchError {
        let object = self.object;
        let bucket = &object.bucket;
        let error = |why: String| FetchError::new(Kind::Missing, format!("{}: {why}", self.asked.what));
        match refusal.code.as_str() {
            "NoSuchBucket" => error(format!("there is no bucket {bucket} at {}", self.asked.host))
                .hint("check the bucket's name (is a variable unset?) and the endpoint"),
            "NoSuchVersion" => error("the object has no such version".to_owned())
                .hint("list its versions with: aws s3api list-object-versions"),
            _ if refusal.delete_marker => {
                error("it was deleted (its newest version is a delete marker)".to_owned())
                    .hint("restore or upload it")
            }
            "NoSuchKey" => error(format!("there is no such key in bucket {bucket}"))
                .hint("check the key, upper and lower case included, and that the file was uploaded"),
            "" => error(format!("{} answers {} in words that are not S3's", self.asked.host, refusal.status))
                .hint(
                    "check that the endpoint is S3's and takes path-style or virtual-host addresses as set",
                ),
            _ => FetchError::new(Kind::Missing, self.said(refusal)),
        }
    }

    fn forbidden(&self, refusal: &Refusal) -> FetchError {
        let error = FetchError::new(Kind::Forbidden, self.said(refusal));
        let keys = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and that they are of this endpoint";
        match refusal.code.as_str() {
            code if code.starts_with("KMS") => self.kms(error),
            "AccessDenied" if refusal.message.to_ascii_lowercase().contains("kms") => self.kms(error),
            "AccessDenied" | "AllAccessDisabled" | "AccessForbidden" => self.denied(error),
            "SignatureDoesNotMatch" => error
                .hint("the secret access key does not belong to the access key id; look for a missing or extra character")
                .hint("a proxy that changes headers spoils signatures too"),
            "InvalidAccessKeyId" | "NotSignedUp" | "InvalidClientTokenId" | "UnrecognizedClientException" => {
                error.hint(keys)
            }
            "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => {
                error.hint("get a new session token; a role's credentials renew themselves")
            }
            "InvalidToken" => error
                .hint("AWS_SESSION_TOKEN does not belong to the keys; unset it for long-lived keys, set it for temporary ones"),
            "RequestTimeTooSkewed" | "RequestExpired" => {
                error.hint("the clock of this host is wrong by more than 15 minutes; synchronise it")
            }
            "InvalidObjectState" => error.hint("the object is archived; restore it to a storage class that can be read"),
            "" if refusal.status == 407 => error.hint("give the proxy its user name and password"),
            "" => error.hint("the answer is not in S3's words; look for a proxy or firewall on the way"),
            _ => error,
        }
    }

    fn kms(&self, error: FetchError) -> FetchError {
        error
            .hint(format!(
                "allow kms:Decrypt on the object's key to {}, in its policy and in the key's",
                self.who
            ))
            .hint("the key must be enabled and of the bucket's region")
    }

    fn denied(&self, error: FetchError) -> FetchError {
        let action = if self.object.version_id.is_some() { "s3:GetObjectVersion" } else { "s3:GetObject" };
        error
            .hint(format!("allow {action} on {} to {}", self.object.arn(), self.who))
            .hint(format!(
                "S3 answers 403 for a missing key too unless s3:ListBucket is allowed on {}: check that the key exists",
                self.object.bucket_arn()
            ))
            .hint("a deny in the bucket's policy or in a VPC endpoint's policy wins over any allow")
    }
}

#[cfg(test)]
#[path = "failure_tests.rs"]
mod tests;
