//! Seeded damage to what a peer reads: the same seed, the same damage.

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

/// Values that programs stumble over.
const AWKWARD: &[&str] = &[
    "",
    " ",
    "-1",
    "0",
    "256",
    "65535",
    "65536",
    "4294967296",
    "18446744073709551616",
    "1e999",
    "٣",
    "\u{1f4a9}",
    ":",
    "/",
    "=",
    ";",
    ",",
    "a=",
    "%n",
    "../",
    "NaN",
    "sendonly",
    "inactive",
    "sha-256",
    "111",
    "audio",
    "*",
    "0 0",
];

/// Lines that mean something to somebody.
const LINES: &[&str] = &[
    "m=audio 0 UDP/TLS/RTP/SAVPF",
    "m=video 9 UDP/TLS/RTP/SAVPF 102 103 255",
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
    "a=mid:",
    "a=mid:0",
    "a=group:BUNDLE 0 0 1 2 3",
    "a=rtpmap:111",
    "a=rtpmap:102 H264/0",
    "a=rtpmap:300 opus/48000/2",
    "a=fmtp:102 profile-level-id=zzzzzz;packetization-mode=9",
    "a=fmtp:103 apt=103",
    "a=extmap:0 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    "a=extmap:99999 urn:x",
    "a=extmap",
    "a=ssrc:",
    "a=ssrc:4294967296 cname:x",
    "a=ssrc-group:FID 1",
    "a=ssrc-group:FID 1 1 1 1",
    "a=simulcast:send 1;2;~3 recv 4",
    "a=rid:1 send pt=",
    "a=sctp-port:0",
    "a=max-message-size:18446744073709551615",
    "a=setup:holdconn",
    "a=setup:",
    "a=ice-ufrag:",
    "a=ice-pwd:",
    "a=ice-options:trickle renomination",
    "a=candidate:1 1 udp 1 127.0.0.1 9 typ host",
    "a=candidate:",
    "a=end-of-candidates",
    "a=rtcp-fb:* nack",
    "a=rtcp-fb:102",
    "a=msid:",
    "a=msid:- -",
    "a=inactive",
    "a=bundle-only",
    "b=AS:-1",
    "b=AS",
    "c=IN IP6 ::",
    "t=1 0",
];

pub(crate) struct Mutations {
    random: StdRng,
}

impl Mutations {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed) }
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.random.random_range(0..from.len())]
    }

    /// A description with one to four changes, mostly of whole lines.
    pub(crate) fn of(&mut self, sdp: &str) -> String {
        let mut lines: Vec<String> = sdp.lines().map(ToOwned::to_owned).collect();
        for _ in 0..self.random.random_range(1..=4) {
            if lines.is_empty() {
                break;
            }
            let at = self.random.random_range(0..lines.len());
            match self.random.random_range(0..9) {
                0 => drop(lines.remove(at)),
                1 => lines.insert(at, lines[at].clone()),
                2 => {
                    let other = self.random.random_range(0..lines.len());
                    lines.swap(at, other);
                }
                3 => lines.insert(at, self.pick(LINES).to_owned()),
                4 => lines.truncate(at),
                5 => lines.extend_from_within(at..),
                _ => lines[at] = self.of_line(&lines[at].clone()),
            }
        }
        let mut mutated = lines.join("\r\n") + "\r\n";
        if self.random.random_range(0..12) == 0 {
            let cut = (0..mutated.len()).filter(|at| mutated.is_char_boundary(*at)).collect::<Vec<_>>();
            if let Some(at) = cut.get(self.random.random_range(0..cut.len().max(1))) {
                mutated.truncate(*at);
            }
        }
        mutated
    }

    /// A line with one field lost, doubled, cut or replaced.
    pub(crate) fn of_line(&mut self, line: &str) -> String {
        let (kind, value) = line.split_at(line.find(['=', ':']).map_or(0, |at| at + 1));
        let mut fields: Vec<String> = value.split(' ').map(ToOwned::to_owned).collect();
        let at = self.random.random_range(0..fields.len());
        match self.random.random_range(0..6) {
            0 => drop(fields.remove(at)),
            1 => fields.insert(at, fields[at].clone()),
            2 => fields.truncate(at),
            3 => {
                let characters: Vec<char> = fields[at].chars().collect();
                let keep = self.random.random_range(0..=characters.len());
                fields[at] = characters[..keep].iter().collect();
            }
            4 => fields[at].push_str(self.pick(AWKWARD)),
            _ => fields[at] = self.pick(AWKWARD).to_owned(),
        }
        format!("{kind}{}", fields.join(" "))
    }

    /// Noise that begins like STUN, DTLS, SRTP, SRTCP, or nothing known (RFC 7983 §7).
    pub(crate) fn datagram(&mut self) -> Vec<u8> {
        let length = self.random.random_range(0..1_400);
        let mut noise = vec![0; length];
        self.random.fill_bytes(&mut noise);
        let begin: &[u8] = match self.random.random_range(0..6) {
            0 => &[0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42],
            1 => &[1, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42],
            2 => &[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0],
            3 => &[0x80, 111],
            4 => &[0x81, 200, 0, 6],
            _ => &[],
        };
        let shared = begin.len().min(length);
        noise[..shared].copy_from_slice(&begin[..shared]);
        noise
    }
}
