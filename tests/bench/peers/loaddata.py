"""Django's loaddata of one export file into an empty database: `loaddata.py URL FILE` prints the seconds it took."""

import sys
import time
from urllib.parse import urlsplit

import django
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import connection


def main() -> None:
    """Make the tables, time the load alone, and print."""
    url, file = urlsplit(sys.argv[1]), sys.argv[2]
    settings.configure(
        INSTALLED_APPS=["sentry"],
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": url.path.removeprefix("/"),
                "USER": url.username,
                "PASSWORD": url.password,
                "HOST": url.hostname,
                "PORT": url.port,
            }
        },
    )
    django.setup()
    with connection.schema_editor() as editor:
        for model in apps.get_app_config("sentry").get_models():
            editor.create_model(model)
    began = time.perf_counter()
    call_command("loaddata", file, verbosity=0)
    print(time.perf_counter() - began)


if __name__ == "__main__":
    main()
