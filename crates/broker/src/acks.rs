//! Which acknowledgements say that these deliveries of one channel are settled. Pure.
//!
//! Tags count up from one on each channel. One acknowledgement may stand for all tags up to its own, but it then stands
//! for every one of them, also for such as wait unread in a buffer. So that is only done for an unbroken row from the
//! beginning. Whatever is settled beyond it is acknowledged by itself, as it must not wait for a slow one in between.

use std::collections::BTreeMap;

/// An acknowledgement to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The delivery.
    pub tag: u64,
    /// And all before it.
    pub multiple: bool,
}

/// The deliveries of one channel.
#[derive(Debug, Default)]
pub struct Acks {
    /// Everything up to here has been answered.
    floor: u64,
    /// What is settled beyond it, and whether that was said already.
    beyond: BTreeMap<u64, bool>,
}

impl Acks {
    /// This one may be acknowledged.
    pub fn settle(&mut self, tag: u64) {
        if tag > self.floor {
            self.beyond.entry(tag).or_insert(false);
        }
    }

    /// This one was answered in another way.
    pub fn answered(&mut self, tag: u64) {
        if tag > self.floor {
            self.beyond.insert(tag, true);
        }
    }

    /// What to send now.
    pub fn flush(&mut self) -> Vec<Ack> {
        let mut acks = Vec::new();
        let (mut last, mut count) = (None, 0_u64);
        while let Some(answered) = self.beyond.remove(&(self.floor + 1)) {
            self.floor += 1;
            if !answered {
                last = Some(self.floor);
                count += 1;
            }
        }
        if let Some(tag) = last {
            acks.push(Ack { tag, multiple: count > 1 });
        }
        for (tag, answered) in &mut self.beyond {
            if !std::mem::replace(answered, true) {
                acks.push(Ack { tag: *tag, multiple: false });
            }
        }
        acks
    }
}
