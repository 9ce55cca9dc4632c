"""Tune k-means that groups images of handwritten digits without being told what they show (1797 images).

What is tuned: ``n_clusters``, how many groups; ``init``, whether the first centroids are drawn far apart (k-means++) or
anywhere (random); ``n_init``, how often that is tried, to keep the best; ``max_iter``, how long the centroids may move.

What to look for: nothing here knows that there are ten digits. The silhouette asks of each image how much nearer its
own group is than the next one (from -1 to 1, above 0 is right). It rises up to about ten groups and falls slowly
afterwards, as digits are cut into ways of writing them; with two or three groups it is poor. ``init`` decides little as
long as ``n_init`` is above 1. The centroids are what is learned: each is an image, the mean of its group. Draw them:

    model = hpo.run("digits-kmeans", trials=30).best_estimator()
    plt.imshow(np.hstack(model.cluster_centers_.reshape(-1, 8, 8)))

There is no target: data returns X alone, and the metric takes the model and X. It groups the validation images by the
centroids of the training images.
"""

from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.metrics import silhouette_score

import hpo
from hpo import Categorical, CrossValidation, Int, SearchSpace, StudyDefinition


def silhouette(estimator, X, y=None):
    return silhouette_score(X, estimator.predict(X))


study = StudyDefinition(
    name="digits-kmeans",
    data=lambda: load_digits().data,
    estimator=KMeans(),
    space=SearchSpace(
        {
            "n_clusters": Int(2, 40, log=True),
            "init": Categorical(["k-means++", "random"]),
            "n_init": Int(1, 10),
            "max_iter": Int(5, 300, log=True),
        }
    ),
    metric=silhouette,
    split=CrossValidation(folds=3, test=0.2),
    margin=0.01,
)

if __name__ == "__main__":
    hpo.main(study)
