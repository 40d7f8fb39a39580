"""Passwords that are guessed first, and those that are not."""

from __future__ import annotations

import pytest

from webui.guessed import guessed


@pytest.mark.parametrize(
    "weak",
    [
        "password1234", "Password2024!", "P@ssw0rd2025!!", "passwordpassword", "qwertyuiop123", "qwertyuiop[]", "1qaz2wsx3edc4rfv",
        "1q2w3e4r5t6y", "123456789012", "098765432109", "iloveyou1234", "iloveyouforever", "Princess12345", "administrator1",
        "Welcome2026!!", "rahasia12345", "rahasia_2026!", "Indonesia1945!", "bismillah123456", "sayangku12345", "letmeinletmein",
        "asdfghjkl;123", "zxcvbnm1234567", "abcdefghijkl", "aaaaaaaaaaaa", "aabbaabbaabb", "Liverpool2024", "Summer2025!!!", "111111222222",
    ],
)  # fmt: skip
def test_what_every_list_begins_with_is_guessed(weak: str) -> None:
    assert guessed(weak)


@pytest.mark.parametrize("good", ["correct horse battery staple", "seven purple umbrellas", "tidy river wagon moss", "kx7!qLm02#vTe", "monkey winter cookie football", "ceria-gajah-biru-42"])  # fmt: skip
def test_words_that_do_not_belong_together_are_not(good: str) -> None:
    assert not guessed(good)


def test_ones_own_name_counts_for_nothing() -> None:
    assert guessed("budi.santoso123", ("budi.santoso", "budi", "santoso"))
    assert guessed("santosobudi2026", ("budi.santoso", "budi", "santoso"))
