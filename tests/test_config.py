import contextlib
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unfooled import config
from unfooled.errors import InvalidStudy
from unfooled.recipe import Plan
from unfooled.study import Audit, Bundle, Certificates, Corruptions, Dose, Study, Sweep

STUDIES = sorted((Path(__file__).parent.parent / "studies").glob("*.toml"))

GOOD = """
dataset = "digits"
seeds = 3
answer_eps = 0.1

[plan]
epochs = 7

[recipes.plain]

[recipes.turned]
title = "Turned"
transforms = [{ name = "RandomRotation", degrees = 10 }]
batch_size = 32

[recipes.guarded]
control = "positive"
defence = { name = "adversarial", eps = 0.3, steps = 1 }
epochs = 9

[[attacks]]
name = "fgsm"
eps = [0, 0.1, 0.3]

[[attacks]]
name = "pgd"
norm = "L2"
eps = [0.5]
images = 100
steps = 20
"""


def written(tmp_path: Path, text: str, name: str = "study.toml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def read(tmp_path: Path, text: str = GOOD) -> Study:
    return config.read(written(tmp_path, text))


def errors(tmp_path: Path, text: str) -> list[str]:
    """What is said about a file, line by line; each names the file."""
    with pytest.raises(InvalidStudy) as raised:
        read(tmp_path, text)
    lines = str(raised.value).splitlines()
    assert all(line.startswith(f"{tmp_path / 'study.toml'}: ") for line in lines)
    return [line.removeprefix(f"{tmp_path / 'study.toml'}: ") for line in lines]


def test_a_study_file_says_all_that_a_study_holds(tmp_path: Path) -> None:
    study = read(tmp_path)
    assert (study.dataset, study.model, study.seeds) == ("digits", "strided", 3)
    assert (study.answer_eps, study.margin) == (0.1, 0.02)
    assert [recipe.name for recipe in study.recipes] == ["plain", "turned", "guarded"]
    plain, turned, guarded = study.recipes
    assert (plain.title, turned.title) == ("plain", "Turned")
    assert turned.transforms == (("RandomRotation", {"degrees": 10}),)
    assert guarded.defence == ("adversarial", {"eps": 0.3, "steps": 1})
    assert guarded.control == "positive"
    assert study.sweeps == (
        Sweep("fgsm", {}, "Linf", (0.0, 0.1, 0.3), None),
        Sweep("pgd", {"steps": 20}, "L2", (0.5,), 100),
    )


def test_a_recipes_plan_lies_over_the_studys_plan_over_the_default(tmp_path: Path) -> None:
    plain, turned, guarded = read(tmp_path).recipes
    assert plain.plan == Plan(epochs=7)
    assert turned.plan == Plan(epochs=7, batch_size=32)
    assert guarded.plan == Plan(epochs=9)


def test_seeds_and_dataset_from_outside_take_the_place_of_the_files(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    study = config.read(path, seeds=1, dataset="kmnist")
    assert (study.seeds, study.dataset) == (1, "kmnist")
    with pytest.raises(InvalidStudy, match=r"seeds: .*greater than or equal to 1"):
        config.read(path, seeds=0)
    with pytest.raises(InvalidStudy, match=r"dataset: unknown name 'minst'.*'mnist'"):
        config.read(path, dataset="minst")


def test_a_data_set_may_have_options(tmp_path: Path) -> None:
    table = GOOD.replace('"digits"', '{ name = "image_folder", size = 20 }')
    study = read(tmp_path, table)
    assert (study.dataset, study.dataset_options) == ("image_folder", {"size": 20})
    path = written(tmp_path, table)
    kept = config.read(path, dataset="image_folder")
    assert (kept.dataset_options, kept.name) == ({"size": 20}, "study")
    other = config.read(path, dataset="digits")
    assert (other.dataset_options, other.name) == ({}, "study-digits")


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("digits.toml", "digits"),
        ("My Study.toml", "my-study"),
        ("ä.toml", "study"),
    ],
)
def test_a_study_is_called_after_its_file(tmp_path: Path, file: str, name: str) -> None:
    assert config.read(written(tmp_path, GOOD, file)).name == name


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_study_that_comes_with_the_package_can_be_read(path: Path) -> None:
    study = config.read(path)
    assert study.seeds >= 5
    assert study.name == path.stem
    assert {recipe.control for recipe in study.recipes} == {"", "positive", "sham"}


def test_a_function_beside_the_study_file_is_found_from_everywhere(tmp_path: Path) -> None:
    text = GOOD.replace("[recipes.turned]", '[recipes.turned]\ninput = [{ name = "mine.py:dim" }]')
    assert any("mine.py" in line for line in errors(tmp_path, text))
    (tmp_path / "mine.py").write_text("def dim(images, *, draws):\n    return images / 2\n")
    (name, _) = read(tmp_path, text).recipes[1].input[0]
    assert name == f"{tmp_path.resolve() / 'mine.py'}:dim"


def test_the_audit_is_on_and_its_images_can_be_set(tmp_path: Path) -> None:
    assert read(tmp_path).audit == Audit(100)
    assert read(tmp_path, f"{GOOD}\n[audit]\nimages = 7\n").audit == Audit(7)
    wrong = errors(tmp_path, f"{GOOD}\n[audit]\nimages = 0\n")
    assert "audit.images: input should be greater than or equal to 1 (it is 0)" in wrong
    unknown = errors(tmp_path, f"{GOOD}\n[audit]\nimage = 7\n")
    assert unknown == ["audit.image: there is no such key; known here: images"]


def test_there_are_studies_to_read() -> None:
    assert {path.stem for path in STUDIES} >= {"digits", "mnist"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("seeds = 3", "sedes = 3", "sedes: there is no such key; known here: question, dataset"),
        ("seeds = 3", 'seeds = "3"', "seeds: input should be a valid integer (it is '3')"),
        ("seeds = 3", "seeds = true", "seeds: input should be a valid integer (it is True)"),
        ("seeds = 3", "seeds = 2.5", "seeds: input should be a valid integer"),
        ("seeds = 3", "seeds = 0", "seeds: input should be greater than or equal to 1 (it is 0)"),
        ('dataset = "digits"', "", "dataset: is missing"),
        ('dataset = "digits"', 'dataset = "digit"', "did you mean 'digits'"),
        ('dataset = "digits"', 'dataset = "digits"\nmodel = "stridet"', "did you mean 'strided'"),
        ("answer_eps = 0.1", "answer_eps = 0.2", "answer_eps: 0.2 is not among the eps of any"),
        ("eps = [0, 0.1, 0.3]", "eps = [0, 0.1, 30]", "Linf eps is at most 1"),
        ("answer_eps = 0.1", "answer_eps = -0.1", "answer_eps: input should be greater than 0"),
        ("answer_eps = 0.1", "answer_eps = nan", "answer_eps: input should be a finite number"),
        ("epochs = 7", "epoch = 7", "plan.epoch: there is no such key; known here: epochs,"),
        ("epochs = 7", "epochs = 0", "plan.epochs: input should be greater than or equal to 1"),
        ("epochs = 7", "learning_rate = -1.0", "plan.learning_rate: input should be greater"),
        ("batch_size = 32", "batchsize = 32", "recipes.turned.batchsize: there is no such key;"),
        ("[recipes.plain]", "[recipes.Plain]", "a recipe's name has small letters"),
        ("[recipes.plain]", '[recipes.plain]\ncontrol = "sham"', "the first is the baseline"),
        ("[recipes.plain]", '[recipes.plain]\ncontrol = "shame"', "recipes.plain.control: "),
        ("RandomRotation", "RandomRotatio", "did you mean 'RandomRotation'"),
        ("degrees = 10", "degree = 10", "unexpected keyword argument 'degree'"),
        ("degrees = 10", "degrees = -10", "RandomRotation with {'degrees': -10}"),
        ('"adversarial"', '"adverserial"', "did you mean 'adversarial'"),
        ("steps = 1 ", "step = 1 ", "adversarial has no option 'step'; it has: eps"),
        ("steps = 1 ", 'steps = "1" ', "adversarial: steps must be int, not '1'"),
        ("eps = 0.3,", "eps = -0.3,", "eps must be 0 or more"),
        ("eps = 0.3,", "eps = nan,", "recipes.guarded.defence"),
        ('name = "fgsm"', 'name = "fgms"', "attacks[0].name: unknown name 'fgms'"),
        ('name = "fgsm"', "", "attacks[0].name: is missing"),
        ('name = "fgsm"', 'name = "fgsm"\nsteps = 3', "fgsm has no option 'steps'; it has none"),
        ("steps = 20", "stepps = 20", "attacks[1]: pgd has no option 'stepps'; it has: steps"),
        ("steps = 20", "steps = 2.5", "attacks[1]: pgd: steps must be int, not 2.5"),
        ("images = 100", "images = 0", "attacks[1].images: input should be greater than or equal"),
        ('norm = "L2"', 'norm = "L3"', "attacks[1].norm: input should be 'Linf', 'L2'"),
        ('norm = "L2"', 'norm = "L0"', "attacks[1]: L0 counts changed pixels"),
        ('norm = "L2"', 'norm = "spatial"', "attacks[1]: pgd does not attack under spatial; it"),
        ("steps = 20", "targets = 1.5", "attacks[1].targets"),
        ("[0, 0.1, 0.3]", '[0, 0.1, 0.3]\ntargets = "every"', "of any attack without targets"),
        ("eps = [0, 0.1, 0.3]", "eps = [0, -0.1]", "attacks[0].eps[1]: input should be greater"),
        ("eps = [0, 0.1, 0.3]", "eps = [0.1, nan]", "attacks[0].eps[1]: input should be a finite"),
        ("eps = [0, 0.1, 0.3]", "eps = [0.1, inf]", "attacks[0].eps[1]: input should be a finite"),
        ("eps = [0, 0.1, 0.3]", 'eps = ["0.1"]', "attacks[0].eps[0]: input should be a valid num"),
        ("eps = [0, 0.1, 0.3]", "eps = 0.1", "attacks[0].eps: input should be a valid list"),
        ("eps = [0, 0.1, 0.3]", "eps = []", "attacks[0].eps: "),
        ("eps = [0, 0.1, 0.3]", "eps = [0]", "attacks[0].eps: must ascend, without repeats"),
        ("eps = [0, 0.1, 0.3]", "eps = [0.3, 0.1]", "attacks[0].eps: must ascend"),
        ("eps = [0, 0.1, 0.3]", "eps = [0.1, 0.1]", "attacks[0].eps: must ascend"),
    ],
)
def test_a_wrong_line_is_refused_with_its_key(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    assert old in GOOD
    lines = errors(tmp_path, GOOD.replace(old, new, 1))
    assert any(said in line for line in lines), lines


def test_all_errors_are_told_at_once(tmp_path: Path) -> None:
    text = (
        GOOD.replace("seeds = 3", 'seeds = "three"\ncolour = "red"')
        .replace("epochs = 7", "epochs = 0")
        .replace('"fgsm"', '"fgms"')
        .replace("steps = 20", "stepps = 20")
        .replace("degrees = 10", "degrees = -1")
        .replace('"adversarial"', '"adverserial"')
        .replace("batch_size = 32", "batchsize = 32")
    )
    lines = errors(tmp_path, text)
    for key in (
        "seeds",
        "colour",
        "plan.epochs",
        "attacks[0].name",
        "attacks[1]",
        "recipes.turned.transforms[0]",
        "recipes.turned.batchsize",
        "recipes.guarded.defence",
    ):
        assert sum(line.startswith(f"{key}: ") for line in lines) == 1, (key, lines)
    assert len(lines) == 8


def test_a_study_without_recipes_or_attacks_is_refused(tmp_path: Path) -> None:
    lines = errors(tmp_path, 'dataset = "digits"\nanswer_eps = 0.1\n')
    assert lines == ["recipes: is missing", "attacks: is missing"]
    lines = errors(tmp_path, 'dataset = "digits"\nanswer_eps = 0.1\nattacks = []\n[recipes]\n')
    assert len(lines) == 2


def test_an_attack_may_want_chosen_classes(tmp_path: Path) -> None:
    study = read(tmp_path, GOOD.replace("steps = 20", 'steps = 20\ntargets = "least_likely"'))
    assert [sweep.targets for sweep in study.sweeps] == ["", "least_likely"]
    assert study.sweeps[1].title == "PGD-20 to least likely"
    study = read(tmp_path, GOOD.replace("steps = 20", "steps = 20\ntargets = 3"))
    assert study.sweeps[1].targets == "3"


def test_transfer_needs_a_second_recipe(tmp_path: Path) -> None:
    alone = """
    dataset = "digits"
    answer_eps = 0.1
    [recipes.plain]
    [[attacks]]
    name = "transfer"
    eps = [0.1]
    """
    assert errors(tmp_path, alone) == [
        "attacks[0]: transfer crafts on the networks of other recipes; there is only one"
    ]
    assert read(tmp_path, alone + "[recipes.other]\n").sweeps[0].uses_surrogates


def test_a_users_own_members_are_accepted(tmp_path: Path) -> None:
    text = (
        GOOD.replace('"digits"', '"toys:striped"')
        .replace("seeds = 3", 'seeds = 3\nmodel = "toys:pyramid"')
        .replace('"RandomRotation", degrees = 10', '"toys:darker", strength = 0.3')
    )
    study = read(tmp_path, text)
    assert (study.dataset, study.model) == ("toys:striped", "toys:pyramid")
    assert study.recipes[1].transforms == (("toys:darker", {"strength": 0.3}),)


def test_a_users_own_attack_that_is_not_there_is_told(tmp_path: Path) -> None:
    lines = errors(tmp_path, GOOD.replace('"fgsm"', '"no/such.py:attack"'))
    assert any("there is no file no/such.py" in line for line in lines)


def test_what_is_not_toml_is_refused_with_the_line(tmp_path: Path) -> None:
    with pytest.raises(InvalidStudy, match=r"study\.toml is not TOML: .*line 1"):
        read(tmp_path, "dataset = \n")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\x80\x04\x95", b"a = '\xff'"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "study.toml"
    path.write_bytes(content)
    with pytest.raises(InvalidStudy, match="is not TOML"):
        config.read(path)


def test_a_file_that_is_not_there_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidStudy, match=r"cannot read .*none\.toml: No such file"):
        config.read(tmp_path / "none.toml")
    with pytest.raises(InvalidStudy, match="cannot read"):
        config.read(tmp_path)


@given(cut=st.integers(0, len(GOOD)), end=st.integers(0, len(GOOD)))
@settings(deadline=None, derandomize=True, max_examples=150)
def test_a_study_with_a_piece_missing_is_read_or_refused_but_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, cut: int, end: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "pieces.toml"
    path.write_text(GOOD[: min(cut, end)] + GOOD[max(cut, end) :])
    with contextlib.suppress(InvalidStudy):
        config.read(path)


def test_reading_a_study_leaves_the_file_alone(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    shutil.copy(path, tmp_path / "copy.toml")
    config.read(path)
    assert path.read_bytes() == (tmp_path / "copy.toml").read_bytes()


def test_two_attacks_of_one_name_and_norm_need_a_title(tmp_path: Path) -> None:
    twice = GOOD + '\n[[attacks]]\nname = "fgsm"\neps = [0.1]\n'
    with pytest.raises(
        InvalidStudy, match=r"are both called FGSM \(Linf\); give one of them a title"
    ):
        config.read(written(tmp_path, twice))
    titled = twice + 'title = "again"\n'
    assert [sweep.title for sweep in config.read(written(tmp_path, titled)).sweeps][-1] == "again"


GROUPS = """
[doses.turn]
title = "Rotation"
unit = "degrees"
transform = { name = "RandomRotation", interpolation = "bilinear" }
option = "degrees"
values = [5, 22.5]

[doses.smooth]
defence = { name = "label_smoothing" }
option = "smoothing"
values = [0.1]
epochs = 2

[bundles.all]
title = "Both"
transforms = [{ name = "RandomRotation", degrees = 10 }, { name = "GaussianNoise", sigma = 0.2 }]
batch_size = 16
"""


def test_doses_and_bundles_become_recipes(tmp_path: Path) -> None:
    study = read(tmp_path, GOOD.replace("[[attacks]]", GROUPS + "\n[[attacks]]", 1))
    assert study.doses == (
        Dose("Rotation", "degrees", (5.0, 22.5), ("turn-5", "turn-22_5")),
        Dose("smooth", "", (0.1,), ("smooth-0_1",)),
    )
    assert study.bundles == (
        Bundle(
            "all",
            ("RandomRotation", "GaussianNoise"),
            ("all-no-randomrotation", "all-no-gaussiannoise"),
        ),
    )
    by = {recipe.name: recipe for recipe in study.recipes}
    turn = by["turn-22_5"]
    assert turn.title == "Rotation 22.5 degrees"
    assert turn.transforms == (("RandomRotation", {"interpolation": "bilinear", "degrees": 22.5}),)
    assert turn.plan.epochs == 7
    assert by["smooth-0_1"].defence == ("label_smoothing", {"smoothing": 0.1})
    assert by["smooth-0_1"].plan.epochs == 2
    assert [name for name, _ in by["all"].transforms] == ["RandomRotation", "GaussianNoise"]
    assert [name for name, _ in by["all-no-randomrotation"].transforms] == ["GaussianNoise"]
    assert by["all-no-randomrotation"].title == "Both, without RandomRotation"
    assert by["all"].plan.batch_size == 16


def test_corruptions_certificates_inputs_and_the_split_are_read(tmp_path: Path) -> None:
    text = (
        GOOD.replace("seeds = 3", 'seeds = 3\nsplit = "validation"')
        + """
[corruptions]
severities = [2, 4]
images = 10

[certificates]
eps = [0.1, 0.3]
slopes = 20
branches = 500
"""
    )
    text = text.replace(
        "[recipes.turned]", '[recipes.turned]\ninput = [{ name = "jpeg", quality = 9 }]'
    )
    study = read(tmp_path, text)
    assert study.split == "validation"
    assert study.corruptions is not None
    assert len(study.corruptions.names) == 15
    assert study.corruptions == Corruptions(study.corruptions.names, (2, 4), 10)
    assert study.certificates == Certificates((0.1, 0.3), None, 20, 500)
    assert study.recipes[1].input == (("jpeg", {"quality": 9}),)
    assert read(tmp_path).corruptions is None


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ('[doses.turn]\noption = "degrees"\nvalues = []', "doses.turn.values: list should have at"),
        (
            '[doses.turn]\noption = "degrees"\nvalues = [1]',
            "doses.turn: needs either a transform or a defence",
        ),
        (
            '[doses.turn]\noption = "degrees"\nvalues = [2, 1]\n'
            'transform = { name = "RandomRotation" }',
            "values must ascend",
        ),
        (
            '[doses.turn]\noption = "degree"\nvalues = [1]\n'
            'transform = { name = "RandomRotation" }',
            "degree",
        ),
        (
            '[doses.turn]\noption = "degrees"\nvalues = [1]\n'
            'transform = { name = "RandomRotatio" }',
            "did you mean 'RandomRotation'",
        ),
        (
            '[doses.soft]\noption = "smooth"\nvalues = [1]\ndefence = { name = "label_smoothing" }',
            "label_smoothing has no option 'smooth'",
        ),
        (
            '[bundles.all]\ntransforms = [{ name = "RandomInvert" }]',
            "bundles.all.transforms: list should have at least 2",
        ),
        (
            '[bundles.all]\ntransforms = [{ name = "RandomInvert" }, { name = "RandomInvert" }]',
            "RandomInvert stands there twice",
        ),
        (
            '[bundles.plain]\ntransforms = [{ name = "RandomInvert" }, { name = "RandomSolarize", '
            "threshold = 0.5 }]",
            "two are called plain",
        ),
        (
            "[corruptions]\nseverities = [0, 6]",
            "corruptions.severities[0]: input should be greater",
        ),
        ("[corruptions]\nseverities = [6]", "corruptions.severities[0]: input should be less"),
        ('[corruptions]\nnames = ["fogg"]', "did you mean 'fog'"),
        ("[corruptions]\nseverity = 3", "no such key; known here: names, severities, images"),
        ("[corruptions]\nnames = []", "corruptions.names: list should have at least 1"),
        ('[corruptions]\nnames = ["fog", "fog"]', "corruptions.names: fog stands there twice"),
        ("[corruptions]\nseverities = [1, 1]", "corruptions.severities: 1 stands there twice"),
        (
            '[doses.sd]\noption = "sigma"\nvalues = [0, 0.1]\n'
            'transform = { name = "GaussianNoise" }',
            "input should be greater than 0",
        ),
        (
            '[doses.x]\noption = "name"\nvalues = [0.1]\ndefence = { name = "adversarial" }',
            "adversarial has no option 'name'",
        ),
        ("[certificates]\neps = [0.2, 0.1]", "certificates.eps: must ascend"),
        ("[certificates]\neps = [0.1]\nbranches = -1", "certificates.branches: input should be"),
        ("[certificates]\neps = [0.1]\nslopes = 0.5", "certificates.slopes: input should be"),
        ("[certificates]\neps = [0]", "certificates.eps[0]: input should be greater than 0"),
        ('[recipes.odd]\ninput = [{ name = "jpg" }]', "did you mean 'jpeg'"),
        ('[recipes.odd]\ninput = [{ name = "jpeg", q = 1 }]', "jpeg has no option 'q'"),
        ("[recipes.odd]\naveraging = 1.0", "recipes.odd.averaging: input should be less than 1"),
    ],
)
def test_what_is_wrong_with_a_group_is_said_by_its_key(
    tmp_path: Path, added: str, said: str
) -> None:
    lines = errors(tmp_path, GOOD + "\n" + added)
    assert any(said in line for line in lines), lines


def test_an_unknown_split_is_an_error(tmp_path: Path) -> None:
    (line,) = errors(tmp_path, GOOD.replace("seeds = 3", 'seeds = 3\nsplit = "train"'))
    assert "split: input should be 'test' or 'validation'" in line
