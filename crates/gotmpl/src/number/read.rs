//! Reads numbers as Go's `strconv` does.

/// `strconv.ParseInt(text, base, 64)`; base 0 looks at the prefix and allows underscores.
pub(crate) fn parse_int(text: &str, base: u32) -> Option<i64> {
    let (negative, digits) = sign(text);
    let magnitude = parse_uint(digits, base)?;
    if negative {
        if magnitude > 1 << 63 { None } else { Some((magnitude as i64).wrapping_neg()) }
    } else {
        i64::try_from(magnitude).ok()
    }
}

/// `strconv.ParseUint(text, base, 64)`.
pub(crate) fn parse_uint(text: &str, base: u32) -> Option<u64> {
    if base != 0 {
        return text
            .bytes()
            .all(|byte| char::from(byte).is_digit(base))
            .then(|| u64::from_str_radix(text, base).ok())?;
    }
    let (base, digits) = match text.as_bytes() {
        [b'0', b'x' | b'X', _, ..] => (16, &text[2..]),
        [b'0', b'o' | b'O', _, ..] => (8, &text[2..]),
        [b'0', b'b' | b'B', _, ..] => (2, &text[2..]),
        [b'0', _, ..] => (8, &text[1..]),
        _ => (10, text),
    };
    if digits.contains('_') {
        if !underscores_are_right(text) {
            return None;
        }
        let plain: String = digits.chars().filter(|char| *char != '_').collect();
        return parse_uint(&plain, base);
    }
    parse_uint(digits, base)
}

/// Underscores stand between digits, or between the prefix of a base and a digit.
fn underscores_are_right(text: &str) -> bool {
    #[derive(PartialEq)]
    enum Last {
        Start,
        Digit,
        Underscore,
        Other,
    }
    let bytes = sign(text).1.as_bytes();
    let mut last = Last::Start;
    let mut from = 0;
    let mut hexadecimal = false;
    if let [b'0', prefix @ (b'b' | b'B' | b'o' | b'O' | b'x' | b'X'), ..] = bytes {
        from = 2;
        last = Last::Digit;
        hexadecimal = prefix.eq_ignore_ascii_case(&b'x');
    }
    for byte in &bytes[from..] {
        if byte.is_ascii_digit() || (hexadecimal && byte.is_ascii_hexdigit()) {
            last = Last::Digit;
        } else if *byte == b'_' {
            if last != Last::Digit {
                return false;
            }
            last = Last::Underscore;
        } else {
            if last == Last::Underscore {
                return false;
            }
            last = Last::Other;
        }
    }
    last != Last::Underscore
}

fn sign(text: &str) -> (bool, &str) {
    match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    }
}

/// `strconv.ParseFloat(text, 64)`; what is out of range is no number.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    let (negative, digits) = sign(text);
    let special = match digits.to_ascii_lowercase().as_str() {
        "inf" | "infinity" => Some(f64::INFINITY),
        "nan" if digits.len() == text.len() => Some(f64::NAN),
        _ => None,
    };
    if let Some(value) = special {
        return Some(if negative { -value } else { value });
    }
    if digits.contains('_') {
        // Go takes them with a prefix only, but its language's literals anywhere; both come here as literals.
        if !underscores_are_right(text) {
            return None;
        }
        let plain: String = text.chars().filter(|char| *char != '_').collect();
        return parse_float(&plain);
    }
    let magnitude = if digits.len() > 2
        && digits.as_bytes()[0] == b'0'
        && digits.as_bytes()[1].eq_ignore_ascii_case(&b'x')
    {
        hexadecimal(&digits[2..])?
    } else {
        let plain =
            digits.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
        if !plain || !digits.bytes().any(|byte| byte.is_ascii_digit()) || matches!(digits.as_bytes()[0], b'+' | b'-') {
            return None;
        }
        digits.parse::<f64>().ok()?
    };
    if magnitude.is_infinite() {
        return None;
    }
    Some(if negative { -magnitude } else { magnitude })
}

/// A hexadecimal float without its prefix, rounded to even. The exponent is mandatory.
fn hexadecimal(text: &str) -> Option<f64> {
    let at = text.find(['p', 'P'])?;
    let (mantissa, exponent) = (&text[..at], &text[at + 1..]);
    let (exponent_negative, exponent_digits) = sign(exponent);
    if exponent_digits.is_empty() || !exponent_digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut exponent = exponent_digits.bytes().fold(0i64, |sum, byte| (sum * 10 + i64::from(byte - b'0')).min(100_000));
    if exponent_negative {
        exponent = -exponent;
    }
    let mut value: u64 = 0;
    let mut sticky = false;
    let mut seen_point = false;
    let mut any = false;
    for char in mantissa.chars() {
        if char == '.' {
            if seen_point {
                return None;
            }
            seen_point = true;
            continue;
        }
        let digit = u64::from(char.to_digit(16)?);
        any = true;
        if value >> 58 == 0 {
            value = value << 4 | digit;
            if seen_point {
                exponent -= 4;
            }
        } else {
            sticky |= digit != 0;
            if !seen_point {
                exponent += 4;
            }
        }
    }
    if !any {
        return None;
    }
    Some(scaled(value, sticky, exponent))
}

/// `value * 2^exponent`, where `sticky` stands for a little more.
fn scaled(value: u64, sticky: bool, mut exponent: i64) -> f64 {
    if value == 0 {
        return 0.0;
    }
    let shift = i64::from(value.leading_zeros());
    let mut mantissa = value << shift;
    exponent -= shift;
    // The value is mantissa * 2^exponent with the top bit set. Keep 53 bits, fewer for subnormal numbers.
    let drop = 11.max(-1074 - exponent).min(64);
    let (kept, lost, half) = if drop == 64 {
        (0, u128::from(mantissa), 1u128 << 63)
    } else {
        let mask = (1u64 << drop) - 1;
        (mantissa >> drop, u128::from(mantissa & mask), 1u128 << (drop - 1))
    };
    mantissa = kept;
    if lost > half || (lost == half && (sticky || mantissa & 1 == 1)) {
        mantissa += 1;
    }
    let exponent = exponent + drop;
    if exponent > 1023 {
        return f64::INFINITY;
    }
    // Both factors are exact, and so is the product or it is out of range: the mantissa has been rounded already.
    let exponent = exponent as i32;
    if exponent < -1000 {
        mantissa as f64 * 2f64.powi(-1000) * 2f64.powi(exponent + 1000)
    } else {
        mantissa as f64 * 2f64.powi(exponent)
    }
}
