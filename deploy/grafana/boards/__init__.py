"""The boards, in the order in which they are linked."""

from deploy.grafana.boards.billing import BILLING
from deploy.grafana.boards.customer import CUSTOMER
from deploy.grafana.boards.fleet import FLEET
from deploy.grafana.boards.gpu import GPU
from deploy.grafana.boards.pipeline import PIPELINE

BOARDS = (FLEET, CUSTOMER, GPU, PIPELINE, BILLING)
