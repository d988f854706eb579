"""The picture of the packages in docs/ is made from today's layers and imports."""

import xml.etree.ElementTree as ET

from tools import architecture

SVG = "{http://www.w3.org/2000/svg}"


def test_the_committed_picture_shows_the_packages_as_they_are():
    layers = architecture.read_layers()
    picture = architecture.draw(layers, architecture.read_imports(layers))
    assert architecture.PICTURE.read_text() == picture, "The packages import each other differently: make architecture"


def test_it_has_a_box_for_each_package_and_a_line_for_each_import_that_it_does_not_leave_out():
    layers = [["tools"], ["upper"], ["left", "right"], ["common"]]
    imports = {("tools", "left"), ("upper", "left"), ("upper", "right"), ("left", "common")}
    drawn = ET.fromstring(architecture.draw(layers, imports))
    names = [text.text for text in drawn.iterfind(f"{SVG}g/{SVG}text")]
    assert names == ["tools", "upper", "left", "right", "common"]
    assert len(drawn.findall(f"{SVG}path")) == 2
    assert drawn.find(f"{SVG}text").text == (
        "Not drawn: tools imports what it needs; every package imports common, except right, tools, upper."
    )
