"""The one line of a mistake stays one line, whatever is named in it."""

from ganstoch.errors import UserError, visible


def test_a_terminal_obeys_no_name_and_letters_of_all_alphabets_stay() -> None:
    error = UserError("no \x1b[2J\x07a\nb\u2028c\u202egpj.\udcff  here")
    assert str(error) == "no ⟨U+001B⟩[2J⟨U+0007⟩a b c⟨U+202E⟩gpj.⟨U+DCFF⟩ here"
    assert visible("é漢字 Ω\u00a0±") == "é漢字 Ω\u00a0±"
