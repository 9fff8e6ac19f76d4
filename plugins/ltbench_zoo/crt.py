"""cRT, classifier re-training: Kang et al., "Decoupling Representation and Classifier ...", ICLR 2020, Sec. 4.

The method ``uniform`` is its like; it goes on from the baseline's classifier, this one begins anew, as in the paper.
"""

from ltbench_zoo.second_stage import SecondStage


class RetrainedClassifier(SecondStage):
    """A new linear classifier on the frozen features, class-balanced batches of 4 images a class."""
