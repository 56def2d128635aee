"""Every learning rate that a reference system printed, against its published recipe.

The numbers are facts read from the systems' logs and notebooks. S1 used plateau and
A9 printed no rate; S0 and S2 printed only the largest rate of their schedule.
"""

import pytest
import torch
from torch import nn

from sightline.data.loaders import BatchLoader
from sightline.data.split import Split
from sightline.training.optim import make_optimizer
from sightline.training.parts import make_scheduler
from sightline.training.recipe import Recipe
from sightline.training.recipes import RECIPES

# of S3: the rate at the start of epochs 1 to 20, the one that its first update uses
S3_AT_START = (
    *(0.000522, 0.009149672913117546, 0.017777345826235094, 0.02640501873935264),
    *(0.03503269165247019, 0.043660364565587736, 0.05216195715743441),
    *(0.048433758586005835, 0.04470556001457726, 0.04097736144314869),
    *(0.037249162871720115, 0.03352096430029155, 0.029792765728862976),
    *(0.026064567157434403, 0.022336368586005833, 0.018608170014577263),
    *(0.01487997144314869, 0.011151772871720117, 0.007423574300291544),
    *(0.0036953757288629777,),
)
# of the others: the rate after the last step of an epoch. The next epoch starts with it
# and after the last epoch no update uses it: one step past the end it is negative.
S4_AT_END = (  # of epochs 15 to 20; the first 14 were not published
    *(0.00016584911438398897, 0.00013267227530415108, 9.949543622431325e-05),
    *(6.631859714447541e-05, 3.314175806463758e-05, -3.50810152003082e-08),
)
S4_SGD_AT_END = (  # of epochs 1 to 20
    *(0.020810133060388942, 0.04062026612077788, 0.06043039918116682),
    *(0.08024053224155576, 0.09998295140664959, 0.0933169514066496),
    *(0.08665095140664959, 0.0799849514066496, 0.0733189514066496),
    *(0.0666529514066496, 0.059986951406649607, 0.0533209514066496),
    *(0.046654951406649596, 0.039988951406649605, 0.033322951406649606),
    *(0.0266569514066496, 0.01999095140664961, 0.013324951406649618),
    *(0.006658951406649613, -7.048593350378329e-06),
)
S4B_AT_END = (  # of epochs 1 to 24
    *(5.1623487001864064e-05, 0.00010076989764773643, 0.00014991630829360876),
    *(0.00019906271893948112, 0.0002475746158006558, 0.0002345386755461499),
    *(0.00022150273529164405, 0.0002084667950371382, 0.00019543085478263233),
    *(0.0001823949145281265, 0.00016935897427362064, 0.00015632303401911477),
    *(0.00014328709376460892, 0.00013025115351010308, 0.00011721521325559723),
    *(0.00010417927300109138, 9.114333274658551e-05, 7.810739249207964e-05),
    *(6.507145223757382e-05, 5.2035511983067946e-05, 3.89995717285621e-05),
    *(2.5963631474056227e-05, 1.2927691219550408e-05, -1.0824903495543778e-07),
)
# of S0 and both runs of S2: the largest rate, in full, as their schedules got it
LARGEST = {
    "s0-published": 0.0970049125561403,
    "s2-published": 0.020022003718155847,
    "s2-first-published": 0.3107610418205271,
}
SUGGESTED = {  # by their range tests, in three digits; of S4's Adam run it is not known
    "s0-published": "9.70E-02",
    "s2-published": "2.00E-02",
    "s2-first-published": "3.11E-01",
    "s3-published": "5.22E-02",
    "s4-sgd-published": "1.00E-01",
    "s4b-published": "2.48E-04",
}


def rates_between_epochs(recipe: Recipe) -> list[float]:
    """Return the rate before epoch 1, after it, and so on; the last is never used."""
    count = 50_000  # training images of CIFAR-10, all of which the systems used
    images = torch.zeros(1, 1, 1, 3, dtype=torch.uint8).expand(count, 1, 1, 3)
    split = Split(images, torch.zeros(count, dtype=torch.int64))
    mean = std = (0.5, 0.5, 0.5)
    loader = BatchLoader(split, batch_size=recipe.batch_size, mean=mean, std=std)
    optimizer = make_optimizer(recipe, nn.Linear(1, 1))
    scheduler = make_scheduler(recipe, optimizer, loader)
    rates = scheduler.get_last_lr()
    for _ in range(recipe.epochs):
        for _ in range(len(loader) if recipe.schedule_step == "batch" else 1):
            optimizer.step()
            scheduler.step()
        rates += scheduler.get_last_lr()
    return rates


def equal(printed: float | tuple[float, ...]):
    """Compare with all 16 digits, but for the rounding of sums of such numbers."""
    return pytest.approx(printed, rel=1e-12, abs=1e-17)


def test_s3_uses_the_twenty_rates_that_it_printed_at_the_start_of_its_epochs():
    assert rates_between_epochs(RECIPES["s3-published"])[:-1] == equal(S3_AT_START)


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("s4-published", S4_AT_END),
        ("s4-sgd-published", S4_SGD_AT_END),
        ("s4b-published", S4B_AT_END),
    ],
)
def test_s4_comes_to_the_rates_that_it_printed_at_the_end_of_its_epochs(name, printed):
    rates = rates_between_epochs(RECIPES[name])
    assert rates[-len(printed) :] == equal(printed)
    assert min(rates[:-1]) > 0 > rates[-1]


@pytest.mark.parametrize("name", LARGEST)
def test_the_largest_rate_is_the_printed_one_in_full(name):
    assert RECIPES[name].max_lr == LARGEST[name]


@pytest.mark.parametrize("name", SUGGESTED)
def test_the_largest_rate_rounds_to_the_one_that_the_range_test_suggested(name):
    assert f"{RECIPES[name].max_lr:.2E}" == SUGGESTED[name]
