"""The letters of glyphs-lt. Every one is in all faces that :mod:`ltbench_datasets.glyph_drawing` uses.

Letters that look alike to a pixel in one of the faces (Latin o, Greek omicron, Cyrillic o) and pairs that differ in
size alone (S, s) are left out: their labels would be noise.
"""

FAMILIES: tuple[str, ...] = (
    "aàáâäα",
    "cćčç",
    "dďđ",
    "eèêëęє",
    "gğĝ",
    "hħћ",
    "iìíî",
    "lłĺ",
    "nňñηŋ",
    "oöôøθ",
    "rřŕ",
    "sšśş",
    "tťţτ",
    "uùûüμ",
    "yýÿγ",
    "zžź",
    "wŵω",
    "kķκ",
    "bßβв",
    "pρþ",
    "AÄÅΛ",
    "EÉÊ",
    "NÑИЙ",
    "RŘЯ",
    "GĞ",
    "жхχ",
    "эзξ",
)
"""27 families of confusable letters, 100 in all: letters, their diacritics, their Greek and Cyrillic look-alikes."""

_MORE = (
    "fjmqvãåæéïðòóõúāăąĉċēėěġĥĩīĭįıĵļľŀńņŉōőœŗŝŧũūůűųŷżſƀƈƒƕƙƚƛơƥƪƫƭưƺƾǽǿȷɐɒɓɔɕɖɗɘəɚɛɝɞɟɠɡɢɣɤɥɦɧɨ"
    "ɩɫɬɭɮɯɰɱɲɳɵɶɷɸɹɺɻɼɽɾɿʁʂʃʄʅʆʇʈʉʊʋʌʍʎʏʐʑʒʓʕʖʗʘʚʛʝʞʠʡʢΐάέήίΰδζλνπςσυφψϋύώϐϑϖϙϛϝϟϡϰϱбгдлмнфцчшщъ"
    "ыьюђѓљњќўџѣґẁẃẅỳDFLQÀÁÂÆÈËÐØÞĀĂĄĎĒĔĘĜĠĢĤĦĹĻĽĿŁŃŅŇŊŔŖŢŤŦƐƻǁǂǃǼǾʔΆΈΉΎΏΔΖΘΞΡΣΥΦΧΨΩΫϒϘϚϞϠϴЂЋБ"
)

LETTERS = "".join(FAMILIES) + _MORE
"""All letters to choose from: the families first, then further ones for datasets of more than 100 classes."""
