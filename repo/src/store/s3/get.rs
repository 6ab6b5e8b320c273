//! Reading objects, whole and in part. What comes short, or is not what was asked for, is asked for again.

use aws_sdk_s3::operation::get_object::GetObjectOutput;

use super::Bucket;
use super::attempts::within;
use super::fault::{Fault, FaultKind};
use crate::ids::ObjectName;
use crate::units::Bytes;

/// Beyond this no object ends, and some servers cannot read the number.
const OFFSET_MAX: u64 = 1 << 53;

/// A whole object, or why not.
pub(super) enum Whole {
    Read(Vec<u8>),
    TooLong(Bytes),
}

/// A part of an object, or where the object ends.
pub(super) enum Part {
    Read(Vec<u8>),
    Short(Bytes),
}

impl Bucket {
    pub(super) async fn read(&self, name: &ObjectName, limit: Bytes) -> Result<Whole, Fault> {
        let bounds = &self.settings.bounds;
        self.ask_patiently(|client| async move {
            let request = client.get_object().bucket(&self.settings.bucket).key(self.key(name.as_str()));
            // How long the object is, and may take, its head tells.
            let answer = within(bounds, Bytes::ZERO, async { Ok(request.send().await?) }).await?;
            let length = length_of(&answer)?;
            if length > limit {
                return Ok(Whole::TooLong(length));
            }
            within(bounds, length, collect(answer, length)).await.map(Whole::Read)
        })
        .await
    }

    pub(super) async fn read_range(
        &self,
        name: &ObjectName,
        offset: Bytes,
        length: Bytes,
    ) -> Result<Part, Fault> {
        let end = offset.0.saturating_add(length.0);
        if length == Bytes::ZERO || end > OFFSET_MAX {
            return match self.stat(name).await? {
                None => Err(Fault { kind: FaultKind::Missing, ambiguous: false, message: String::new() }),
                Some(listed) if end > listed.length.0 => Ok(Part::Short(listed.length)),
                Some(_) => Ok(Part::Read(Vec::new())),
            };
        }
        let range = format!("bytes={}-{}", offset.0, end - 1);
        let part = self.ask(length, |client| {
            let range = range.clone();
            async move {
                let request = client
                    .get_object()
                    .bucket(&self.settings.bucket)
                    .key(self.key(name.as_str()))
                    .range(range);
                let answer = request.send().await?;
                let total = check_range(&answer, offset)?;
                let got = length_of(&answer)?;
                if got < length {
                    return Ok(Part::Short(total));
                }
                if got > length {
                    return Err(Fault::last("the server ignores the range asked for"));
                }
                collect(answer, length).await.map(Part::Read)
            }
        });
        match part.await {
            Err(fault) if fault.kind == FaultKind::Range => match self.stat(name).await? {
                Some(listed) => Ok(Part::Short(listed.length)),
                None => Err(Fault { kind: FaultKind::Missing, ..fault }),
            },
            other => other,
        }
    }
}

fn length_of(answer: &GetObjectOutput) -> Result<Bytes, Fault> {
    let length = answer.content_length().and_then(|length| u64::try_from(length).ok());
    length.map(Bytes).ok_or_else(|| Fault::passing("the server does not say how long the object is"))
}

/// How long the object is by an answer to a range that begins at `offset`.
fn check_range(answer: &GetObjectOutput, offset: Bytes) -> Result<Bytes, Fault> {
    let Some(text) = answer.content_range() else {
        // The whole object: right where that is what the range says, which its length will tell.
        return if offset == Bytes::ZERO {
            length_of(answer)
        } else {
            Err(Fault::last("the server ignores the range asked for"))
        };
    };
    let parsed = text.strip_prefix("bytes ").and_then(|text| text.split_once('/'));
    let (span, total) = parsed.ok_or_else(|| Fault::passing(format!("a range {text:?} nobody asked for")))?;
    let begin = span.split_once('-').and_then(|(begin, _)| begin.parse::<u64>().ok());
    match (begin, total.parse()) {
        (Some(begin), Ok(total)) if begin == offset.0 => Ok(Bytes(total)),
        _ => Err(Fault::passing(format!("a range {text:?} nobody asked for"))),
    }
}

async fn collect(mut answer: GetObjectOutput, length: Bytes) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::with_capacity(length.as_usize());
    while let Some(piece) = answer.body.next().await {
        let piece = piece.map_err(|error| Fault::passing(format!("the answer broke off: {error}")))?;
        if bytes.len() + piece.len() > length.as_usize() {
            return Err(Fault::passing("the answer is longer than it said"));
        }
        bytes.extend_from_slice(&piece);
    }
    if Bytes::of(&bytes) != length {
        return Err(Fault::passing(format!("the answer ended after {} of {length}", Bytes::of(&bytes))));
    }
    Ok(bytes)
}
