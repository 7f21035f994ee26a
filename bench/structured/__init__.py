"""Structured output over other people's schemas: does what is finished fit, and what does it cost?

`test_suite.jsonl`: the schemas of json-schema-org/JSON-Schema-Test-Suite, draft 2020-12 (MIT, its licence beside it).
"""
