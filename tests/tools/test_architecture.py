"""The picture of the packages in docs/ is up to date with layers and imports."""

import xml.etree.ElementTree as ET

from tools import architecture

SVG = "{http://www.w3.org/2000/svg}"


def names(svg):
    return [text.text for text in ET.fromstring(svg).iterfind(f"{SVG}g/{SVG}text")]


def test_the_committed_picture_is_up_to_date():
    layers = [name for layer in architecture.read_layers() for name in layer]
    assert names(architecture.PICTURE.read_text()) == layers, "The layers have changed. Run: make architecture"


def test_imports_are_read_from_the_code():
    imports = architecture.read_imports(architecture.read_layers())
    assert {("evaluation", "policy_files"), ("tools", "helpers"), ("reward_curves", "common")} <= imports
    assert not any(importer == "common" or imported == "tools" for importer, imported in imports)


def test_the_picture_has_a_box_for_each_package_and_a_line_for_each_import():
    layers = [["tools"], ["upper"], ["left", "right"], ["common"]]
    imports = {("tools", "left"), ("upper", "left"), ("upper", "right"), ("left", "common")}
    svg = architecture.draw(layers, imports)
    root = ET.fromstring(svg)
    assert names(svg) == ["tools", "upper", "left", "right", "common"]
    assert len(root.findall(f"{SVG}path")) == 2
    assert root.find(f"{SVG}text").text == (
        "Not drawn: tools imports what it needs; every package imports common, except right, tools, upper."
    )
