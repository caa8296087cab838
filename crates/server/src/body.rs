//! Request bodies: read, decompressed and bounded, each on its own and all together.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use crate::problem::{Kind, Problem};

/// The most bytes of a body, counted after decompression.
pub(crate) const BODY_MAX: usize = 32 << 20;

/// The most bytes of all bodies being read and decompressed: four of the largest.
const BODIES_MAX: usize = 4 * BODY_MAX;

/// The most bytes of a body that is one small JSON object.
const JSON_MAX: usize = 64 << 10;

/// How long a body may pause.
const PAUSE_MAX: Duration = Duration::from_secs(20);

/// How long a body may take altogether: 32 MiB at 2 Mbit/s.
const READ_MAX: Duration = Duration::from_secs(130);

/// How much memory is asked for at a time while decompressing.
const STEP: usize = 256 << 10;

/// The largest window a zstd stream may ask for (log2 of bytes): no body is larger.
const ZSTD_WINDOW_LOG_MAX: u32 = 25;

/// Counts the memory of bodies on their way in, and of the events made from them until they are answered, so that many large ones at once are
/// refused, not swallowed.
pub(crate) struct Budget {
    used: AtomicUsize,
    max: usize,
}

impl Budget {
    pub(crate) fn new() -> Budget {
        Budget { used: AtomicUsize::new(0), max: BODIES_MAX }
    }

    pub(crate) fn lease(self: &Arc<Budget>) -> Lease {
        Lease { budget: Arc::clone(self), bytes: 0 }
    }

    #[cfg(test)]
    fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

/// One request's part of the [`Budget`]; given back when dropped.
pub(crate) struct Lease {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Lease {
    fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        let before = self.budget.used.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > self.budget.max {
            self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
            return Err(overloaded("the bodies of other requests fill the memory set aside for them"));
        }
        self.bytes += bytes;
        Ok(())
    }

    /// The body has become something else that takes so many bytes, which is not refused any more: it is no longer than what was, or as many
    /// bytes as the most events have of defaults.
    pub(crate) fn settle(&mut self, bytes: usize) {
        self.budget.used.fetch_add(bytes, Ordering::Relaxed);
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

pub(crate) fn overloaded(detail: &'static str) -> Problem {
    Problem::new(Kind::Overloaded, detail).retry_after(1)
}

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl Encoding {
    pub(crate) fn of(headers: &HeaderMap) -> Result<Encoding, Problem> {
        let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Ok(Encoding::Identity) };
        match value.to_str().unwrap_or("?").trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Encoding::Identity),
            "gzip" | "x-gzip" => Ok(Encoding::Gzip),
            "zstd" => Ok(Encoding::Zstd),
            other => Err(Problem::new(
                Kind::UnsupportedEncoding,
                format!("Content-Encoding: found {:.40?}, expected gzip, zstd or identity", other),
            )),
        }
    }
}

fn too_large(max: usize) -> Problem {
    Problem::new(Kind::TooLarge, format!("at most {max} bytes after decompression; nothing was stored"))
        .with("max_bytes", max)
}

/// Reads a body that is text.
pub(crate) async fn text(headers: &HeaderMap, body: Body, budget: &Arc<Budget>) -> Result<String, Problem> {
    let mut lease = budget.lease();
    let wire = read(body, headers, &mut lease).await?;
    let bytes = decode(Encoding::of(headers)?, wire, &mut lease)?;
    String::from_utf8(bytes).map_err(|_| Problem::bad_request("the body is not UTF-8"))
}

/// Reads a body as it was sent.
pub(crate) async fn read(body: Body, headers: &HeaderMap, lease: &mut Lease) -> Result<Vec<u8>, Problem> {
    let length =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > BODY_MAX) {
        return Err(too_large(BODY_MAX));
    }
    frames(body, length.unwrap_or(0), BODY_MAX, lease).await
}

async fn frames(body: Body, length: usize, max: usize, lease: &mut Lease) -> Result<Vec<u8>, Problem> {
    let reading = tokio::time::timeout(READ_MAX, frames_without_end(body, length, max, lease));
    reading.await.map_err(|_| Problem::new(Kind::Timeout, "the body took too long; nothing was stored"))?
}

async fn frames_without_end(
    mut body: Body,
    length: usize,
    max: usize,
    lease: &mut Lease,
) -> Result<Vec<u8>, Problem> {
    lease.grow(length)?;
    let mut bytes = Vec::with_capacity(length);
    loop {
        let frame = tokio::time::timeout(PAUSE_MAX, body.frame()).await;
        let late = |_| Problem::new(Kind::Timeout, "the body stopped arriving; nothing was stored");
        let Some(frame) = frame.map_err(late)? else { return Ok(bytes) };
        let broken = |_| Problem::bad_request("the body ended early; nothing was stored");
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        let end = bytes.len() + data.len();
        if end > max {
            return Err(too_large(max));
        }
        if end > bytes.capacity() {
            let more = end.max(bytes.capacity() * 2) - bytes.capacity();
            lease.grow(more)?;
            bytes.reserve_exact(bytes.capacity() + more - bytes.len());
        }
        bytes.extend_from_slice(&data);
    }
}

/// Decompresses a body. It stops at the limit, so a small bomb costs no more than an honest body.
pub(crate) fn decode(encoding: Encoding, wire: Vec<u8>, lease: &mut Lease) -> Result<Vec<u8>, Problem> {
    match encoding {
        Encoding::Identity => Ok(wire),
        Encoding::Gzip => inflate(flate2::bufread::MultiGzDecoder::new(wire.as_slice()), "gzip", lease),
        Encoding::Zstd => {
            let decoder =
                zstd::stream::read::Decoder::with_buffer(wire.as_slice()).and_then(|mut decoder| {
                    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                    Ok(decoder)
                });
            match decoder {
                Ok(decoder) => inflate(decoder, "zstd", lease),
                Err(error) => Err(Problem::internal(&error)),
            }
        }
    }
}

fn inflate(mut decoder: impl Read, name: &str, lease: &mut Lease) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    loop {
        lease.grow(STEP)?;
        bytes.reserve(STEP);
        let read = decoder.by_ref().take(STEP as u64).read_to_end(&mut bytes).map_err(|error| {
            Problem::bad_request(format!("the body is not {name}: {error}; nothing was stored"))
        })?;
        if bytes.len() > BODY_MAX {
            return Err(too_large(BODY_MAX));
        }
        if read < STEP {
            return Ok(bytes);
        }
    }
}

/// Reads a small JSON object, of a request with the JSON content type: a form of another site cannot send that type
/// without asking first.
pub(crate) async fn json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
    budget: &Arc<Budget>,
) -> Result<T, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(
            Kind::UnsupportedEncoding,
            format!("Content-Type: found {kind:.40?}, expected application/json"),
        ));
    }
    let bytes = frames(body, 0, JSON_MAX, &mut budget.lease()).await?;
    serde_json::from_slice(&bytes).map_err(|error| Problem::bad_request(format!("the body: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::encode_all(bytes, 3).unwrap()
    }

    fn check(encoding: Encoding, wire: Vec<u8>) -> Result<usize, Kind> {
        let budget = Arc::new(Budget::new());
        let length = decode(encoding, wire, &mut budget.lease()).map(|bytes| bytes.len());
        assert_eq!(budget.used(), 0);
        length.map_err(|problem| problem.kind())
    }

    #[test]
    fn bodies_are_decompressed_up_to_the_limit() {
        let fits = vec![b'x'; BODY_MAX];
        let bomb = vec![b'x'; BODY_MAX + 1];
        for (encoding, wire, expected) in [
            (Encoding::Identity, b"abc".to_vec(), Ok(3)),
            (Encoding::Gzip, gzip(b"abc"), Ok(3)),
            (Encoding::Zstd, zstd(b"abc"), Ok(3)),
            (Encoding::Gzip, [gzip(b"abc"), gzip(b"de")].concat(), Ok(5)),
            (Encoding::Zstd, [zstd(b"abc"), zstd(b"de")].concat(), Ok(5)),
            (Encoding::Gzip, gzip(&fits), Ok(BODY_MAX)),
            (Encoding::Zstd, zstd(&fits), Ok(BODY_MAX)),
            (Encoding::Gzip, gzip(&bomb), Err(Kind::TooLarge)),
            (Encoding::Zstd, zstd(&bomb), Err(Kind::TooLarge)),
            (Encoding::Gzip, b"abc".to_vec(), Err(Kind::BadRequest)),
            (Encoding::Zstd, b"abc".to_vec(), Err(Kind::BadRequest)),
            (Encoding::Gzip, gzip(b"abc")[..10].to_vec(), Err(Kind::BadRequest)),
            (Encoding::Zstd, zstd(&fits)[..40].to_vec(), Err(Kind::BadRequest)),
        ] {
            let size = wire.len();
            assert_eq!(check(encoding, wire), expected, "{encoding:?} {size}");
        }
    }

    #[test]
    fn a_zstd_window_larger_than_any_body_is_refused() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(b"abc").unwrap();
        assert_eq!(check(Encoding::Zstd, encoder.finish().unwrap()), Err(Kind::BadRequest));
    }

    #[test]
    fn encodings() {
        for (value, expected) in [
            (None, Some(Encoding::Identity)),
            (Some("GZIP"), Some(Encoding::Gzip)),
            (Some("zstd"), Some(Encoding::Zstd)),
            (Some("identity"), Some(Encoding::Identity)),
            (Some("br"), None),
            (Some("gzip, gzip"), None),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(value));
            }
            assert_eq!(Encoding::of(&headers).ok(), expected, "{value:?}");
        }
    }

    #[tokio::test]
    async fn too_many_bodies_at_once_are_refused() {
        let budget = Arc::new(Budget { used: AtomicUsize::new(0), max: 100 });
        let mut first = budget.lease();
        let read = |length: usize| Body::from(vec![b'x'; length]);
        assert_eq!(frames(read(60), 0, 1_000, &mut first).await.map(|bytes| bytes.len()).ok(), Some(60));
        let mut second = budget.lease();
        let refused = frames(read(60), 0, 1_000, &mut second).await.map_err(|problem| problem.kind());
        assert_eq!(refused, Err(Kind::Overloaded));
        drop(first);
        drop(second);
        let mut third = budget.lease();
        assert!(frames(read(60), 60, 1_000, &mut third).await.is_ok());
        // What was made of it is counted in its place, also where that is more than there is.
        for bytes in [40, 120] {
            third.settle(bytes);
            assert_eq!(budget.used(), bytes);
        }
        drop(third);
        assert_eq!(budget.used(), 0);
    }
}
