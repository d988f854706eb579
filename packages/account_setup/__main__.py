"""``python -m account_setup``: write the policies of `account_check.policies` into the template."""

from account_setup.template import TEMPLATE, insert_policies

if __name__ == "__main__":
    TEMPLATE.write_text(insert_policies(TEMPLATE.read_text()))
