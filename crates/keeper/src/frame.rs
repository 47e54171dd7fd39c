//! Frames: a big-endian `u32` length, then that many bytes of JSON.

use serde::Serialize;

/// The longest frame's body. Far above any honest message, far below what could hurt the keeper's memory.
pub const MAX_FRAME: usize = 1 << 20;
const HEADER: usize = 4;

/// Why bytes are not a frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The body is longer than [`MAX_FRAME`].
    #[error("a frame has at most {MAX_FRAME} bytes, this one has {0}")]
    TooLong(usize),
    /// The body is not the JSON that was expected.
    #[error("bad JSON in a frame: {0}")]
    Json(#[from] serde_json::Error),
}

/// One message as a frame.
pub fn encode(message: &impl Serialize) -> Result<Vec<u8>, FrameError> {
    let mut frame = vec![0; HEADER];
    serde_json::to_writer(&mut frame, message)?;
    let body = frame.len() - HEADER;
    let length = u32::try_from(body).ok().filter(|_| body <= MAX_FRAME).ok_or(FrameError::TooLong(body))?;
    frame[..HEADER].copy_from_slice(&length.to_be_bytes());
    Ok(frame)
}

/// Cuts a stream of bytes, as it arrives, into frame bodies.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
}

impl Decoder {
    /// Takes bytes as they come.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete body, `None` until more bytes arrive. After an error the stream has lost its rhythm and must
    /// be closed.
    pub fn next_body(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        let Some((header, rest)) = self.buffer.split_first_chunk::<HEADER>() else { return Ok(None) };
        let length = u32::from_be_bytes(*header) as usize;
        if length > MAX_FRAME {
            return Err(FrameError::TooLong(length));
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let body = body.to_vec();
        self.buffer.drain(..HEADER + length);
        if self.buffer.is_empty() {
            // One large request must not stay in the memory of a process that lives for months.
            self.buffer.shrink_to(4096);
        }
        Ok(Some(body))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refuses_a_length_it_would_have_to_allocate() {
        let mut decoder = Decoder::default();
        decoder.extend(&(MAX_FRAME as u32 + 1).to_be_bytes());
        assert!(matches!(decoder.next_body(), Err(FrameError::TooLong(_))));
        assert!(matches!(encode(&"x".repeat(MAX_FRAME)), Err(FrameError::TooLong(_))));
    }

    proptest! {
        #[test]
        fn any_cut_of_the_stream_gives_the_same_frames(
            messages in prop::collection::vec(".{0,80}", 0..8),
            cut in 1_usize..40,
        ) {
            let stream: Vec<u8> = messages.iter().flat_map(|message| encode(message).unwrap()).collect();
            let mut decoder = Decoder::default();
            let mut seen = Vec::new();
            for piece in stream.chunks(cut) {
                decoder.extend(piece);
                while let Some(body) = decoder.next_body().unwrap() {
                    seen.push(serde_json::from_slice::<String>(&body).unwrap());
                }
            }
            prop_assert_eq!(seen, messages);
        }
    }
}
