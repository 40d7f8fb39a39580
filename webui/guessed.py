"""What is guessed first: the words that leaked passwords of twelve characters and more are made of, and walks on the keys.

Published lists of leaked passwords hold few of that length, and nearly all are one or two of these words, repeated, with
a year, a row of digits or a walk over the keyboard, letters written as digits. So the words are carried instead of the
lists, and a password is taken apart by them.
"""

from __future__ import annotations

WORDS = tuple(
    sorted(
        [
            "password",
            "passwort",
            "passw0rd",
            "katasandi",
            "sandi",
            "rahasia",
            "secret",
            "welcome",
            "selamat",
            "datang",
            "login",
            "admin",
            "administrator",
            "root",
            "superuser",
            "manager",
            "master",
            "server",
            "service",
            "support",
            "system",
            "user",
            "guest",
            "test",
            "testing",
            "demo",
            "default",
            "changeme",
            "letmein",
            "access",
            "internet",
            "computer",
            "komputer",
            "windows",
            "linux",
            "ubuntu",
            "debian",
            "cisco",
            "oracle",
            "postgres",
            "mysql",
            "pantau",
            "monitor",
            "monitoring",
            "network",
            "jaringan",
            "company",
            "kantor",
            "office",
            "corporate",
            "business",
            "google",
            "facebook",
            "instagram",
            "whatsapp",
            "youtube",
            "twitter",
            "iloveyou",
            "lovely",
            "forever",
            "love",
            "sayang",
            "sayangku",
            "cinta",
            "cintaku",
            "kamu",
            "aku",
            "kasih",
            "rindu",
            "bismillah",
            "allah",
            "muhammad",
            "alhamdulillah",
            "insyaallah",
            "jesus",
            "christ",
            "indonesia",
            "jakarta",
            "bandung",
            "surabaya",
            "medan",
            "semarang",
            "garuda",
            "merdeka",
            "pancasila",
            "nusantara",
            "bali",
            "persib",
            "persija",
            "football",
            "baseball",
            "basketball",
            "soccer",
            "liverpool",
            "chelsea",
            "arsenal",
            "manchester",
            "united",
            "barcelona",
            "realmadrid",
            "juventus",
            "princess",
            "sunshine",
            "superman",
            "batman",
            "spiderman",
            "pokemon",
            "starwars",
            "naruto",
            "dragon",
            "monkey",
            "shadow",
            "michael",
            "jennifer",
            "jessica",
            "charlie",
            "daniel",
            "andrew",
            "joshua",
            "thomas",
            "ashley",
            "amanda",
            "nicole",
            "samantha",
            "elizabeth",
            "hunter",
            "killer",
            "flower",
            "butterfly",
            "chocolate",
            "cookie",
            "summer",
            "winter",
            "spring",
            "autumn",
            "monday",
            "tuesday",
            "wednesday",
            "thursday",
            "friday",
            "saturday",
            "sunday",
            "january",
            "february",
            "march",
            "april",
            "june",
            "july",
            "august",
            "september",
            "october",
            "november",
            "december",
            "januari",
            "februari",
            "maret",
            "juni",
            "juli",
            "agustus",
            "oktober",
            "desember",
            "senin",
            "selasa",
            "rabu",
            "kamis",
            "jumat",
            "sabtu",
            "minggu",
            "freedom",
            "whatever",
            "trustno1",
            "mustang",
            "ferrari",
            "mercedes",
            "porsche",
            "yamaha",
            "honda",
            "suzuki",
            "computer1",
            "qwerty",
            "qwertyuiop",
            "asdfgh",
            "asdfghjkl",
            "zxcvbn",
            "zxcvbnm",
            "azerty",
            "qwertz",
            "1q2w3e4r",
            "1qaz2wsx",
            "3edc4rfv",
            "qazwsx",
            "qazwsxedc",
            "abc123",
            "abcdef",
            "abcdefgh",
        ],
        key=len,
        reverse=True,
    )
)
ROWS = ("1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm", "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p", "1q2w3e4r5t6y7u8i9o0p", "abcdefghijklmnopqrstuvwxyz")  # fmt: skip
WALK = 4
"""Keys in a row that count as one step."""
LEET = str.maketrans("4301!5$7@8", "aeoiisstab")
FEWEST = 5
"""Different characters that must be left when all that is guessed has been taken out."""
PHRASE = 3
"""Different common words from which on it is a phrase, which nobody has on a list."""


def guessed(password: str, own: tuple[str, ...] = ()) -> bool:
    """Whether little is left of `password` without common words, walks, and what belongs to its person (`own`)."""
    plain = password.lower()
    return any(_thin(text, own) for text in {plain, plain.translate(LEET)})


def _thin(text: str, own: tuple[str, ...]) -> bool:
    left, found = text, set[str]()
    for word in (*(one for one in own if len(one) > 2), *WORDS):
        if word in left:
            found.add(word)
            left = left.replace(word, "\0")
    if len(found) >= PHRASE:
        return False
    left = _unwalked(left).replace("\0", "")
    if found or len(left) < len(text):  # a year, a digit and a mark of exclamation do not make it another password
        left = "".join(one for one in left if one.isalpha()) if sum(map(str.isalpha, left)) < FEWEST else left
    return len(set(left)) < FEWEST


def _unwalked(text: str) -> str:
    """The text without runs along a row of keys, forwards or backwards."""
    at, kept = 0, []
    while at < len(text):
        run = max(_run(text, at, row) for row in (*ROWS, *(row[::-1] for row in ROWS)))
        if run >= WALK:
            at += run
        else:
            kept.append(text[at])
            at += 1
    return "".join(kept)


def _run(text: str, at: int, row: str) -> int:
    start, length = row.find(text[at]), 0
    while (
        start >= 0
        and at + length < len(text)
        and start + length < len(row)
        and text[at + length] == row[start + length]
    ):
        length += 1
    return length
