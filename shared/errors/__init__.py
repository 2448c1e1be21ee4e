"""Every refusal that Siloway makes, in one hierarchy, told apart by what it is about.

A class fixes the gRPC code and the stable reason; the docstring's first line is the default message. One interceptor
turns an instance into google.rpc.Status. Nothing here knows gRPC, SQL or Redis. The reasons are listed in
protos/siloway/common/v1/error_reason.proto and docs/errors.md; a test keeps the three equal.
"""

from shared.errors.arguments import *
from shared.errors.callers import *
from shared.errors.failures import *
from shared.errors.foundation import *
from shared.errors.import_life import *
from shared.errors.plans import *
from shared.errors.resources import *
from shared.errors.states import *
