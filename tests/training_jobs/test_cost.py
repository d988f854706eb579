"""What a job will cost: the sums, the table, and what the AWS Price List answers."""

import json
import re
from datetime import date

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.stub import Stubber

from common import ROOT
from common.aws_session import Connection
from training_jobs import cost


def connection(target="embedded", region="us-east-1", session=None):
    return Connection(target, session, "123456789012", region, "bucket", "role")


class Pricing:
    """A session whose only client is the Price List's."""

    made = boto3.client("pricing", "us-east-1", aws_access_key_id="TESTING", aws_secret_access_key="testing")

    def client(self, service, region_name, config):
        assert (service, region_name) == ("pricing", "us-east-1")
        return self.made


@pytest.fixture
def pricing():
    with Stubber(Pricing.made) as stub:
        yield stub
        stub.assert_no_pending_responses()


def entry(usage_type, usd, unit="Hrs", published="2026-11-20T10:00:00Z"):
    dimension = {"unit": unit, "pricePerUnit": {"USD": usd}, "description": ""}
    return json.dumps(
        {
            "product": {"productFamily": "ML Instance", "attributes": {"usagetype": usage_type}, "sku": "S"},
            "serviceCode": "AmazonSageMaker",
            "terms": {"OnDemand": {"S.T": {"priceDimensions": {"S.T.D": dimension}}}},
            "version": "1",
            "publicationDate": published,
        }
    )


def asked(region="us-east-1", instance_type="ml.c5.xlarge", **more):
    return {
        "ServiceCode": "AmazonSageMaker",
        "FormatVersion": "aws_v1",
        "Filters": [
            {"Type": "TERM_MATCH", "Field": "regionCode", "Value": region},
            {"Type": "CONTAINS", "Field": "usagetype", "Value": f"Train:{instance_type}"},
        ],
        **more,
    }


def on_aws(region="us-east-1"):
    return connection("aws", region, Pricing())


def test_maximum_and_likely_cost():
    found = cost.estimate(connection(), instance_type="ml.c5.xlarge", max_minutes=30, steps=18000, steps_per_second=100)
    assert found.at_most == pytest.approx(0.204 / 2)
    assert found.likely_seconds == 180
    assert found.likely == pytest.approx(0.204 * 180 / 3600)
    assert found.rows == (
        ("at most", "30.0 min", "0.102 USD", "0.010 to 0.102 USD"),
        ("likely", "3.0 min", "0.010 USD", "0.001 to 0.010 USD"),
    )


def test_a_training_longer_than_its_maximum_runtime():
    found = cost.estimate(connection(), instance_type="ml.m5.large", max_minutes=1, steps=10**6, steps_per_second=10)
    assert found.likely_seconds == 60
    assert found.likely == found.at_most == pytest.approx(0.115 / 60)


@pytest.mark.parametrize("more", [{}, {"steps": 1000}, {"steps_per_second": 10.0}])
def test_without_a_speed_there_is_no_likely_cost(more):
    found = cost.estimate(connection(), instance_type="ml.c5.xlarge", max_minutes=30, **more)
    assert found.likely is None
    assert [row[0] for row in found.rows] == ["at most"]


@pytest.mark.parametrize("name", ["max_minutes", "steps", "steps_per_second"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), "5000"])
def test_invalid_numbers(name, value):
    arguments = {"max_minutes": 1, "steps": 1, "steps_per_second": 1, name: value}
    with pytest.raises(cost.CostError, match=f"Expected {name} to be a number above 0, found {value!r}"):
        cost.estimate(connection(), instance_type="ml.c5.xlarge", **arguments)


def test_source_and_date_are_always_shown():
    found = cost.estimate(connection(), instance_type="ml.c5.4xlarge", max_minutes=30, spot=True)
    for text in (str(found), found._repr_html_().replace("&#x27;", "'")):
        assert "ml.c5.4xlarge in us-east-1: 0.816 USD an hour. Source: AWS's price file" in text
        assert "2026-09-25" in text
        assert "The embedded AWS costs nothing" in text
        assert "spot (chosen)" in text


def test_the_tables_prices_are_dated_and_unique():
    assert len({price.instance_type for price in cost.TABLE}) == len(cost.TABLE)
    for price in cost.TABLE:
        assert date.fromisoformat(price.date) <= date(2026, 12, 31)
        assert price.source
        assert price.region == "us-east-1"
        assert 0.05 < price.usd_per_hour < 10


def test_an_instance_type_that_is_not_in_the_table():
    found = cost.estimate(connection(), instance_type="ml.p9.xlarge", max_minutes=30, steps=10, steps_per_second=1)
    assert (found.price, found.at_most, found.likely) == (None, None, None)
    assert "unknown" in str(found)
    assert "no price for ml.p9.xlarge. See https://aws.amazon.com/sagemaker/pricing/" in str(found)


def test_a_region_that_is_not_in_the_table():
    price, why = cost.find_price(connection(region="eu-west-1"), "ml.c5.xlarge")
    assert price.region == "us-east-1"
    assert "Prices in eu-west-1 differ." in why


def test_the_price_list(pricing):
    products = [
        entry("EU-TrainWarmPool:ml.c5.xlarge", "9.0"),
        entry("EU-Train:ml.c5.xlarge", "0.0000000000"),
        entry("EU-Train:ml.c5.xlarge", "0.2300000000"),
        entry("EU-Train:ml.c5.xlarge-spot", "8.0"),
        entry("EU-Train:ml.c5.xlarge", "7.0", unit="GB-Mo"),
    ]
    pricing.add_response("get_products", {"PriceList": products}, asked("eu-west-1"))
    price, why = cost.find_price(on_aws("eu-west-1"), "ml.c5.xlarge")
    source = "AWS Price List, usage type EU-Train:ml.c5.xlarge"
    assert price == cost.Price("ml.c5.xlarge", "eu-west-1", 0.23, source, "2026-11-20")
    assert why == ""


def test_the_price_list_has_pages(pricing):
    pricing.add_response("get_products", {"PriceList": [], "NextToken": "more"}, asked())
    pricing.add_response(
        "get_products", {"PriceList": [entry("USE1-Train:ml.c5.xlarge", "0.204")]}, asked(NextToken="more")
    )
    assert cost.find_price(on_aws(), "ml.c5.xlarge")[0].usd_per_hour == 0.204


def test_an_instance_type_that_is_not_in_the_price_list(pricing):
    pricing.add_response("get_products", {"PriceList": []}, asked(instance_type="ml.p9.xlarge"))
    price, why = cost.find_price(on_aws(), "ml.p9.xlarge")
    assert price is None
    assert why.startswith("The AWS Price List has no ml.p9.xlarge for training in us-east-1.")


def test_a_price_list_that_refuses(pricing):
    pricing.add_client_error("get_products", "AccessDeniedException", "not you", 400)
    price, why = cost.find_price(on_aws(), "ml.c5.xlarge")
    assert price.source.endswith("as quoted publicly")
    assert why.startswith("The AWS Price List could not be queried: An error occurred (AccessDeniedException)")


def test_an_unreachable_price_list(monkeypatch):
    def fail(*_, **__):
        raise EndpointConnectionError(endpoint_url="https://api.pricing.us-east-1.amazonaws.com")

    monkeypatch.setattr(cost, "ask_aws", fail)
    price, why = cost.find_price(on_aws(), "ml.c5.xlarge")
    assert price.usd_per_hour == 0.204
    assert why.startswith("The AWS Price List could not be queried: Could not connect")


def test_the_price_list_is_not_used_on_the_embedded_target():
    price, why = cost.find_price(connection(session=None), "ml.c5.xlarge")
    assert (price.usd_per_hour, price.date) == (0.204, "2026-09-25")
    assert why == "The embedded AWS costs nothing; this is what AWS would charge."


@pytest.mark.parametrize(
    ("instance_type", "expected"),
    [
        ("ml.g4dn.xlarge", True),
        ("ml.p3.2xlarge", True),  # of no known price
        ("ml.c5.xlarge", False),
        ("ml.m5.large", False),
        ("ml.c6g.xlarge", False),
    ],
)
def test_a_gpu_instance_gets_a_warning(instance_type, expected):
    estimate = cost.estimate(connection(), instance_type=instance_type, max_minutes=30)
    assert (estimate.notes[-1] == cost.NO_CUDA) is expected
    assert ("built without CUDA" in str(estimate)) is expected


def test_the_locked_tensorflow_is_built_without_cuda():
    """As the note says; what comes with CUDA is another version or package."""
    lock = (ROOT / "container/requirements.lock").read_text()
    assert re.findall(r"^tensorflow\S*==\S+", lock, re.MULTILINE) == [
        "tensorflow==1.15.5",
        "tensorflow-estimator==1.15.1",
    ]
