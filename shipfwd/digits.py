"""Check digits of tracking numbers: True when a number, upper case and without hyphens, carries the right one."""

from __future__ import annotations

_UPS_DIGITS = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "23456789012345678901234567")


def ups(number: str) -> bool:
    """UPS 1Z: letters count from A = 2; every second digit doubled; mod 10."""
    digits = number[2:].translate(_UPS_DIGITS)
    return (sum(map(int, digits[::2])) + 2 * sum(map(int, digits[1:14:2])) + int(digits[15])) % 10 == 0


def s10(number: str) -> bool:
    """UPU S10: two letters, eight digits and a check digit, country; weights mod 11."""
    total = sum(int(c) * w for c, w in zip(number[2:10], (8, 6, 4, 2, 3, 5, 9, 7), strict=True))
    return number[10] == "50987654321"[total % 11]


def gs1(number: str) -> bool:
    """GS1 (SSCC, IMpb): weights 3 and 1 from the right; mod 10. Leading zeros change nothing."""
    return (sum(map(int, number[::-2])) + 3 * sum(map(int, number[-2::-2]))) % 10 == 0


def mod7(number: str) -> bool:
    """DHL Express: the last digit is the rest of the others by 7."""
    return int(number[:-1]) % 7 == int(number[-1])


def fedex(number: str) -> bool:
    """FedEx, 12 digits: weights 3, 1, 7; mod 11, mod 10."""
    return sum(int(c) * w for c, w in zip(number[:11], (3, 1, 7) * 4, strict=False)) % 11 % 10 == int(number[11])


def fedex_ground(number: str) -> bool:
    """FedEx Ground: GS1 over the last 15 digits."""
    return gs1(number[-15:])


def mod37(number: str) -> bool:
    """DPD group: ISO 7064 MOD 37,36."""
    rest = 36
    for c in number[:-1]:
        rest = ((rest + int(c, 36)) % 36 or 36) * 2 % 37
    return (rest + int(number[-1], 36)) % 36 == 1
